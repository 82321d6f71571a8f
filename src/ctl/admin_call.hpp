#pragma once

#include <functional>
#include <string>

#include "core/endpoint.hpp"
#include "core/failure.hpp"
#include "core/types.hpp"

namespace buildkit_lb::ctl {

/// One call to an admin server.
struct admin_call {
    std::string method = "GET";
    std::string target;  ///< path and query, encoded
    duration timeout = std::chrono::seconds{10};
};

struct admin_answer {
    unsigned status = 0;
    std::string body;
};

/// Makes calls, one at a time, each blocking. A complaint says why there is no answer.
using admin_server = std::function<checked<admin_answer>(const admin_call&)>;

/// The admin server at `address`; `token` goes along with every call, if it is not empty.
admin_server admin_server_at(endpoint address, std::string token);

}  // namespace buildkit_lb::ctl
