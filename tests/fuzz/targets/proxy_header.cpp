#include "proxy/proxy_header.hpp"

#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <variant>

#include "core/ip_address.hpp"
#include "support/input.hpp"
#include "support/require.hpp"
#include "support/targets.hpp"

namespace buildkit_lb::fuzz {
namespace {

using proxy::need_more;
using proxy::proxy_version;

proxy::parsed_proxy_header parse(std::string_view bytes)
{
    return proxy::parse_proxy_header(std::as_bytes(std::span{bytes}));
}

/// What is written of two ends reads as the same.
void check_written(const std::optional<proxy::connection_addresses>& ends)
{
    for (const proxy_version version : {proxy_version::v1, proxy_version::v2}) {
        const std::string text = proxy::make_proxy_header(version, ends);
        const auto again = parse(text + "more");
        const auto* header = std::get_if<proxy::proxy_header>(&again);
        require(header != nullptr && header->size == text.size(), "a header that we write is one");
        require(header->addresses == ends, "and says the same");
    }
}

}  // namespace

void proxy_header(std::string_view input)
{
    const auto whole = parse(input);
    if (std::holds_alternative<complaint>(whole)) {
        require(!std::get<complaint>(whole).text.empty(), "a complaint says what is wrong");
        return;
    }
    const auto* header = std::get_if<proxy::proxy_header>(&whole);
    require(header == nullptr || (header->size > 0 && header->size <= input.size()), "a header is within what came");
    // However it is cut: before its last byte more is waited for, and what follows it makes no difference.
    const std::size_t end = header != nullptr ? header->size : input.size() + 1;
    for (std::size_t size = 0; size < std::min(end, input.size() + 1) && size < 256; ++size) {
        require(std::holds_alternative<need_more>(parse(input.substr(0, size))), "the beginning of a header is one");
    }
    if (header != nullptr) {
        check_written(header->addresses);
    }
}

}  // namespace buildkit_lb::fuzz
