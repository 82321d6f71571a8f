#include <algorithm>
#include <string>

#include "config/load.hpp"
#include "core/endpoint.hpp"
#include "support/require.hpp"
#include "support/targets.hpp"

namespace buildkit_lb::fuzz {

void config(std::string_view input)
{
    const config::load_result loaded = config::parse(input, "f");
    const auto lines = std::count(input.begin(), input.end(), '\n') + 1;
    int line = 0;
    for (const config::problem& p : loaded.problems) {
        require(p.line >= line && p.line <= lines, "problems are in order of lines that exist");
        line = p.line;
        require(!p.message.empty(), "a problem says what is wrong");
        require(p.to_string().find_first_of("\r\n") == std::string::npos, "a problem is one line");
    }
    if (const auto e = parse_endpoint(input)) {
        const auto again = parse_endpoint(e->to_string());
        require(again && *again == *e, "an address that is written reads the same");
    }
}

}  // namespace buildkit_lb::fuzz
