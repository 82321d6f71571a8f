#include "support/http2_script.hpp"
#include "support/targets.hpp"

namespace buildkit_lb::fuzz {

void http2_server(std::string_view input)
{
    run_http2_script(http2::role::server, input);
}

}  // namespace buildkit_lb::fuzz
