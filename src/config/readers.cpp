#include "config/readers.hpp"

#include <algorithm>
#include <charconv>

#include "core/platform.hpp"
#include "core/text.hpp"

namespace buildkit_lb::config {
namespace {

bool is_alphanumeric(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/// True when `text` holds only letters, digits and the characters of `also`.
bool made_of(std::string_view text, std::string_view also)
{
    return std::all_of(text.begin(), text.end(),
                       [&](char c) { return is_alphanumeric(c) || also.find(c) != std::string_view::npos; });
}

bool is_host(std::string_view host)
{
    if (host.find(':') != std::string_view::npos) {
        constexpr std::string_view v6 = "0123456789abcdefABCDEF:.";
        const auto zone = std::min(host.find('%'), host.size());
        return host.substr(0, zone).find_first_not_of(v6) == std::string_view::npos &&
               made_of(host.substr(zone), "%-_.");
    }
    return !host.empty() && host.size() <= 253 && !host.starts_with('-') && made_of(host, "-_.");
}

/// A number that stands in quotes is text in YAML, and more likely a mistake than a wish.
checked<std::string_view> unquoted(const scalar& found)
{
    if (found.quoted) {
        return complaint{in_quotes(found.text) + " is text, because of its quotes: write it without"};
    }
    return found.text;
}

/// A checked<std::string> can't be made from a string alone: to boost::system::result a complaint looks like one too.
checked<std::string> accepted(const scalar& found)
{
    return checked<std::string>{boost::system::in_place_value, found.text};
}

template <class T, class Value>
checked<T> in_range(const scalar& found, const checked<Value>& value, T least, T most)
{
    if (!value) {
        return value.error();
    }
    if (*value < static_cast<Value>(least) || *value > static_cast<Value>(most)) {
        return complaint{in_quotes(found.text) + " is out of range"};
    }
    return static_cast<T>(*value);
}

std::string range(std::string_view what, std::string_view least, std::string_view most)
{
    return std::string{what} + " from " + std::string{least} + " to " + std::string{most};
}

}  // namespace

checked<std::uint32_t> whole_number::read(const scalar& found) const
{
    const auto plain = unquoted(found);
    return plain ? in_range(found, parse_whole(*plain), least, most) : plain.error();
}

std::string whole_number::allowed() const
{
    return range("a whole number", std::to_string(least), std::to_string(most));
}

checked<std::uint32_t> automatic_or_number::read(const scalar& found) const
{
    if (found.text == "auto") {
        return std::uint32_t{0};
    }
    return whole_number{1, most}.read(found);
}

std::string automatic_or_number::allowed() const
{
    return "auto or " + whole_number{1, most}.allowed();
}

checked<double> decimal_number::read(const scalar& found) const
{
    const auto plain = unquoted(found);
    return plain ? in_range(found, parse_decimal(*plain), least, most) : plain.error();
}

std::string decimal_number::allowed() const
{
    return range("a number", text(least), text(most));
}

std::string decimal_number::text(double value) const
{
    std::array<char, 32> buffer;
    const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
    return {buffer.data(), end};
}

checked<std::chrono::milliseconds> time_span::read(const scalar& found) const
{
    return in_range(found, parse_duration(found.text), least, most);
}

std::string time_span::allowed() const
{
    return range("a duration", to_text(least), to_text(most)) + " (units ms, s, m, h)";
}

checked<byte_count> byte_size::read(const scalar& found) const
{
    return in_range(found, parse_size(found.text), least, most);
}

std::string byte_size::allowed() const
{
    return range("a size", to_text(least), to_text(most)) + " (units B, KiB, MiB, GiB)";
}

checked<std::optional<byte_count>> memory_bound::read(const scalar& found) const
{
    using bound = std::optional<byte_count>;
    if (found.text == "auto") {
        return bound{};
    }
    if (found.text == "off") {
        return bound{byte_count{0}};
    }
    const auto size = byte_size{least, most}.read(found);
    return size ? checked<bound>{bound{*size}} : size.error();
}

std::string memory_bound::allowed() const
{
    return "auto, off or " + byte_size{least, most}.allowed();
}

std::string memory_bound::text(const std::optional<byte_count>& value) const
{
    if (!value) {
        return "auto";
    }
    return value->value == 0 ? "off" : to_text(*value);
}

checked<std::uint32_t> percentage::read(const scalar& found) const
{
    return in_range(found, parse_percentage(found.text), std::uint32_t{0}, std::uint32_t{100});
}

checked<bool> boolean::read(const scalar& found) const
{
    const auto plain = unquoted(found);
    return plain ? parse_boolean(*plain) : plain.error();
}

checked<std::string> label_name::read(const scalar& found) const
{
    if (found.text.empty() || found.text.size() > 100 || !made_of(found.text, "-_.:")) {
        return complaint{in_quotes(found.text) + " is not a name"};
    }
    return accepted(found);
}

checked<std::string> file_path::read(const scalar& found) const
{
    if (found.text.empty() || found.text.find('\0') != std::string_view::npos) {
        return complaint{in_quotes(found.text) + " is not a path"};
    }
    return accepted(found);
}

checked<std::string> host_pattern::read(const scalar& found) const
{
    const bool any_below = found.text.starts_with("*.");
    const auto host = any_below ? found.text.substr(2) : found.text;
    if (host.find('*') != host.npos || !is_host(host)) {
        return complaint{in_quotes(found.text) + " is not a host name"};
    }
    if (host == "localhost") {
        return complaint{in_quotes(found.text) + " counts as no name: clients dial it by accident"};
    }
    return checked<std::string>{boost::system::in_place_value, lower_case(found.text)};
}

checked<std::string> certificate_name::read(const scalar& found) const
{
    const std::string_view whole = found.text;
    const auto exact = whole.starts_with("*.") ? whole.substr(2) : whole;
    const bool visible = std::all_of(exact.begin(), exact.end(), [](char c) { return c >= ' ' && c != 0x7f; });
    if (exact.empty() || !visible || exact.find('*') != exact.npos || exact.size() > 253) {
        return complaint{in_quotes(found.text) + " is not a name that a certificate can have"};
    }
    // Of a host name, which certificates write as they like, the case does not matter.
    return is_host(exact) ? checked<std::string>{boost::system::in_place_value, lower_case(found.text)}
                          : accepted(found);
}

checked<std::string> state_path::read(const scalar& found) const
{
    if (found.text == "auto" || found.text == "off") {
        return accepted(found);
    }
    if (!found.text.starts_with('/') || found.text.ends_with('/')) {
        return complaint{in_quotes(found.text) + " is not the absolute path of a file"};
    }
    return file_path{}.read(found);
}

checked<std::string> user_and_group::read(const scalar& found) const
{
    const auto colon = found.text.find(':');
    const auto is_name = [](std::string_view name) {
        return !name.empty() && name.size() <= 256 && !name.starts_with('-') && made_of(name, "-_.$");
    };
    if (!is_name(found.text.substr(0, colon)) || (colon != found.text.npos && !is_name(found.text.substr(colon + 1)))) {
        return complaint{in_quotes(found.text) + " is no user, or no user and group"};
    }
    return accepted(found);
}

checked<std::string> host_name::read(const scalar& found) const
{
    if (!is_host(found.text)) {
        return complaint{in_quotes(found.text) + " is not a host"};
    }
    return accepted(found);
}

checked<endpoint> endpoint_url::read(const scalar& found) const
{
    auto parsed = parse_endpoint(found.text);
    if (!parsed) {
        return complaint{in_quotes(found.text) + ": " + parsed.error().text};
    }
    if (parsed->type == endpoint::kind::unix_socket) {
        if (of == use::look_up) {
            return complaint{in_quotes(found.text) + " has no name to look up"};
        }
        if (parsed->path.find('\0') != std::string::npos) {
            return complaint{in_quotes(found.text) + " is not a path"};
        }
        return parsed;
    }
    if (!is_host(parsed->host)) {
        return complaint{in_quotes(found.text) + ": " + in_quotes(parsed->host) +
                         " is not a host name or an IP address"};
    }
    if (parsed->port == 0 && of != use::listen) {
        return complaint{in_quotes(found.text) + ": nothing can be reached on port 0"};
    }
    return parsed;
}

std::string endpoint_url::allowed() const
{
    return of == use::look_up ? "tcp://HOST:PORT" : "tcp://HOST:PORT or unix:///PATH";
}

checked<ip_network> network::read(const scalar& found) const
{
    auto read = parse_network(found.text);
    return read ? read : complaint{in_quotes(found.text) + " " + read.error().text};
}

checked<std::string> affinity_key::read(const scalar& found) const
{
    // The prefixes are followed by a name of the user's choice.
    constexpr std::array<std::string_view, 9> words{
        "vcs:source", "vcs:localdir:context", "context", "shared-key", "source-ip",
        "authority",  "tls-client",           "target",  "platform"};
    constexpr std::array<std::string_view, 2> prefixes{"build-arg:", "label:"};
    const bool known = std::find(words.begin(), words.end(), found.text) != words.end();
    const bool named = std::any_of(prefixes.begin(), prefixes.end(), [&](std::string_view p) {
        return found.text.starts_with(p) && found.text.size() > p.size();
    });
    if (!known && !named) {
        return unknown_word(found, words);
    }
    return accepted(found);
}

std::string affinity_key::allowed() const
{
    return "build-arg:NAME, label:NAME, vcs:source, vcs:localdir:context, context, shared-key, source-ip, authority, "
           "tls-client, target or platform";
}

checked<std::string> platform_name::read(const scalar& found) const
{
    if (found.text == "auto") {
        return accepted(found);
    }
    auto normal = normal_platform(found.text);
    if (!normal) {
        return complaint{in_quotes(found.text) + " is not a platform"};
    }
    return checked<std::string>{boost::system::in_place_value, std::move(*normal)};
}

complaint unknown_word(const scalar& found, std::span<const std::string_view> words)
{
    std::string text = in_quotes(found.text) + " is not one of the words known here";
    const bool boolean_off = found.text == "false" && std::find(words.begin(), words.end(), "off") != words.end();
    text += boolean_off ? " (did you mean 'off'? It is a word, not a boolean)" : suggestion(found.text, words);
    return complaint{std::move(text)};
}

}  // namespace buildkit_lb::config
