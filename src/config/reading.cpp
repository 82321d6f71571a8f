#include "config/reading.hpp"

#include <algorithm>

#include "config/words.hpp"

namespace buildkit_lb::config {

int reading::line_of(std::string_view path) const
{
    while (!path.empty()) {
        if (const auto found = lines_.find(std::string{path}); found != lines_.end()) {
            return found->second;
        }
        const auto last = path.find_last_of(".[");
        path = path.substr(0, last == std::string_view::npos ? 0 : last);
    }
    return 1;
}

void reading::report(int line, std::string_view path, std::string_view message)
{
    const auto after = std::upper_bound(problems_.begin(), problems_.end(), line,
                                        [](int wanted, const problem& p) { return wanted < p.line; });
    problems_.insert(after, {.file = file_, .line = line, .path = std::string{path}, .message = one_line(message)});
}

}  // namespace buildkit_lb::config
