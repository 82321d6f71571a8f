#include "core/platform.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

namespace buildkit_lb {
namespace {

struct platform {
    std::string os;
    std::string arch;
    std::string variant;
};

struct alias {
    std::string_view known_as;
    std::string_view arch;
    std::string_view variant;
};
constexpr std::array aliases{
    alias{"x86_64", "amd64", ""}, alias{"x86-64", "amd64", ""}, alias{"aarch64", "arm64", ""},
    alias{"armhf", "arm", "v7"},  alias{"armel", "arm", "v6"},  alias{"i386", "386", ""},
};

constexpr std::array<std::string_view, 9> architectures{"amd64",   "arm64", "arm",      "386",    "riscv64",
                                                        "ppc64le", "s390x", "mips64le", "loong64"};

bool is_architecture(std::string_view text)
{
    return std::find(architectures.begin(), architectures.end(), text) != architectures.end() ||
           std::any_of(aliases.begin(), aliases.end(), [&](const alias& a) { return a.known_as == text; });
}

void normalise(platform& p)
{
    if (p.os == "macos") {
        p.os = "darwin";
    }
    const auto known =
        std::find_if(aliases.begin(), aliases.end(), [&](const alias& a) { return a.known_as == p.arch; });
    if (known != aliases.end()) {
        p.arch = known->arch;
        if (p.variant.empty() || !known->variant.empty()) {
            p.variant = known->variant;
        }
    }
    if (p.arch == "arm64") {
        if (p.variant == "8" || p.variant == "v8") {
            p.variant.clear();
        }
    } else if (p.arch == "amd64") {
        if (p.variant == "v1") {
            p.variant.clear();
        }
    } else if (p.arch == "arm") {
        if (p.variant.empty()) {
            p.variant = "v7";
        } else if (p.variant.front() != 'v') {
            p.variant.insert(0, "v");
        }
    }
}

}  // namespace

std::optional<std::string> normal_platform(std::string_view text)
{
    std::array<std::string, 3> parts;
    std::size_t n = 0;
    for (const char c : text) {
        if (c == '/') {
            if (parts[n].empty() || ++n == parts.size()) {
                return std::nullopt;
            }
        } else if (std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' || c == '.') {
            parts[n] += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
        } else {
            return std::nullopt;
        }
    }
    if (parts[n].empty()) {
        return std::nullopt;
    }
    if (n == 0) {
        // BuildKit takes an architecture alone for one of its worker's system.
        if (!is_architecture(parts[0])) {
            return std::nullopt;
        }
        parts[1] = std::exchange(parts[0], "linux");
    }
    platform p{std::move(parts[0]), std::move(parts[1]), std::move(parts[2])};
    normalise(p);
    return p.os + "/" + p.arch + (p.variant.empty() ? "" : "/" + p.variant);
}

std::optional<std::vector<std::string>> normal_platforms(std::string_view text)
{
    std::vector<std::string> all;
    while (true) {
        const auto comma = text.find(',');
        auto one = text.substr(0, comma);
        while (one.starts_with(' ')) {
            one.remove_prefix(1);
        }
        while (one.ends_with(' ')) {
            one.remove_suffix(1);
        }
        auto p = normal_platform(one);
        if (!p) {
            return std::nullopt;
        }
        if (std::find(all.begin(), all.end(), *p) == all.end()) {
            all.push_back(std::move(*p));
        }
        if (comma == text.npos) {
            return all;
        }
        text.remove_prefix(comma + 1);
    }
}

bool runs_natively(std::string_view host, std::string_view wanted)
{
    // Up to the variant.
    const auto kind = [](std::string_view p) { return p.substr(0, p.find('/', p.find('/') + 1)); };
    const auto of_host = kind(host);
    const auto of_wanted = kind(wanted);
    return of_host == of_wanted || (of_host == "linux/amd64" && of_wanted == "linux/386") ||
           (of_host == "linux/arm64" && of_wanted == "linux/arm");
}

}  // namespace buildkit_lb
