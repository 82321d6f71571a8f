#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace buildkit_lb::admin {

/// What a handler is told of a request. HEAD arrives as GET: the session drops the body.
struct request {
    std::string method;
    std::string path;                                         ///< percent-decoded, without the query
    std::map<std::string, std::string> query;                 ///< percent-decoded; the last of equal keys
    std::vector<std::string> parameters;                      ///< what the `*` of the route stand for
    std::map<std::string, std::string, std::less<>> headers;  ///< names in lower case; the first of equal names
    std::string body;
    std::string peer;                   ///< the client's address; empty on a unix socket
    std::function<bool()> client_gone;  ///< asked by handlers that wait: nobody reads the answer any more

    /// Empty when it was not sent.
    std::string_view header(std::string_view name) const
    {
        const auto found = headers.find(name);
        return found == headers.end() ? std::string_view{} : std::string_view{found->second};
    }
};

/// What it answers.
struct response {
    unsigned status = 200;
    std::string content_type = "application/json";
    std::string body;
    std::string allow;         ///< the Allow header, if not empty
    std::string authenticate;  ///< the WWW-Authenticate header, if not empty
};

/// `body` in a form that people can read, too. What is no UTF-8 in it (an error text may hold a file's name) becomes
/// U+FFFD.
response json_response(unsigned status, const nlohmann::ordered_json& body);

/// `{"error": message}` with that status: the shape of every error of the API.
response error_response(unsigned status, std::string_view message);

/// Answers one request; may wait. An exception that leaves it is answered with 500.
using handler = std::function<boost::asio::awaitable<response>(const request&)>;

/// A handler that need not wait.
handler immediately(std::function<response(const request&)> answer);

/// The table of routes. Filled once, then only read; no I/O.
class router {
public:
    /// `pattern` is a path whose `*` segments match any one segment, for example `/api/v1/workers/*/drain`.
    void add(std::string method, std::string_view pattern, handler h);

    /// The handler for `incoming`, whose parameters it fills in; or the error to answer: 404 for a path nobody
    /// knows, 405 with Allow for one that has other methods.
    std::variant<const handler*, response> find(request& incoming) const;

private:
    struct route {
        std::string method;
        std::vector<std::string> segments;
        handler answer;
    };
    std::vector<route> routes_;
};

/// Splits a request target such as `/a%20b?x=1&y` into path and query. False when its encoding is broken.
bool parse_target(std::string_view target, request& into);

}  // namespace buildkit_lb::admin
