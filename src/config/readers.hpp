#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

#include "config/scalars.hpp"
#include "config/words.hpp"
#include "core/endpoint.hpp"
#include "core/ip_address.hpp"

/// Readers: what a key may hold. Each is a small value with three members:
///   checked<T> read(scalar) const    the value, or a complaint that quotes what was found
///   std::string allowed() const      what would be right, for errors and for the documentation
///   std::string text(T) const        the value as it would be written, for defaults
namespace buildkit_lb::config {

/// One value of a file as it stands there.
struct scalar {
    std::string_view text;
    bool quoted = false;  ///< in quotes, which makes it text even where it looks like a number
};

/// A whole number of a range.
struct whole_number {
    std::uint32_t least;
    std::uint32_t most;

    checked<std::uint32_t> read(const scalar& found) const;
    std::string allowed() const;
    std::string text(std::uint32_t value) const { return std::to_string(value); }
};

/// `auto` (0) or a whole number from 1.
struct automatic_or_number {
    std::uint32_t most;

    checked<std::uint32_t> read(const scalar& found) const;
    std::string allowed() const;
    std::string text(std::uint32_t value) const { return value == 0 ? "auto" : std::to_string(value); }
};

/// A number with a fraction.
struct decimal_number {
    double least;
    double most;

    checked<double> read(const scalar& found) const;
    std::string allowed() const;
    std::string text(double value) const;
};

struct time_span {
    std::chrono::milliseconds least;
    std::chrono::milliseconds most;

    checked<std::chrono::milliseconds> read(const scalar& found) const;
    std::string allowed() const;
    std::string text(std::chrono::milliseconds value) const { return to_text(value); }
};

struct byte_size {
    byte_count least;
    byte_count most;

    checked<byte_count> read(const scalar& found) const;
    std::string allowed() const;
    std::string text(byte_count value) const { return to_text(value); }
};

/// `auto` (nullopt), `off` (0) or a size.
struct memory_bound {
    byte_count least;
    byte_count most;

    checked<std::optional<byte_count>> read(const scalar& found) const;
    std::string allowed() const;
    std::string text(const std::optional<byte_count>& value) const;
};

/// A share of a whole, in percent.
struct percentage {
    checked<std::uint32_t> read(const scalar& found) const;
    std::string allowed() const { return "a percentage from 0% to 100%"; }
    std::string text(std::uint32_t value) const { return std::to_string(value) + "%"; }
};

struct boolean {
    checked<bool> read(const scalar& found) const;
    std::string allowed() const { return "true or false"; }
    std::string text(bool value) const { return value ? "true" : "false"; }
};

/// What people call a listener, a pool or a worker: it becomes a metric label and part of admin paths.
struct label_name {
    checked<std::string> read(const scalar& found) const;
    std::string allowed() const { return "1 to 100 letters, digits, '-', '_', '.' or ':'"; }
    std::string text(const std::string& value) const { return value; }
};

/// The path of a file. It is not opened here.
struct file_path {
    checked<std::string> read(const scalar& found) const;
    std::string allowed() const { return "the path of a file"; }
    std::string text(const std::string& value) const { return value; }
};

/// Where state is kept: `auto`, `off` or the absolute path of a file.
struct state_path {
    checked<std::string> read(const scalar& found) const;
    std::string allowed() const { return "auto, off or the absolute path of a file"; }
    std::string text(const std::string& value) const { return value; }
};

/// A user of the system, by name or number, and maybe a group.
struct user_and_group {
    checked<std::string> read(const scalar& found) const;
    std::string allowed() const { return "USER or USER:GROUP, names or numbers of the system"; }
    std::string text(const std::string& value) const { return value; }
};

/// A host name or an IP address.
struct host_name {
    checked<std::string> read(const scalar& found) const;
    std::string allowed() const { return "a host name or an IP address"; }
    std::string text(const std::string& value) const { return value; }
};

/// A host name, or `*.` and the end of one. In lower case.
struct host_pattern {
    checked<std::string> read(const scalar& found) const;
    std::string allowed() const { return "a host name such as team-a.builds.example, or *.builds.example"; }
    std::string text(const std::string& value) const { return value; }
};

/// A name that a certificate may have: a host, `*.` and the end of one, a URI or a mail address.
struct certificate_name {
    checked<std::string> read(const scalar& found) const;
    std::string allowed() const { return "a name of a certificate, such as ci.example.test or *.ci.example.test"; }
    std::string text(const std::string& value) const { return value; }
};

/// Where something listens. Port 0 is a port of the system's choice, for a listener only.
struct endpoint_url {
    enum class use : std::uint8_t { listen, connect, look_up };
    use of;

    checked<endpoint> read(const scalar& found) const;
    std::string allowed() const;
    std::string text(const endpoint& value) const { return value.host.empty() ? value.path : value.to_string(); }
};

/// An IP address, or a network in CIDR notation.
struct network {
    checked<ip_network> read(const scalar& found) const;
    std::string allowed() const { return "an IP address, or a network such as 10.0.0.0/8 or fd00::/8"; }
    std::string text(const ip_network& value) const { return value.to_string(); }
};

/// One entry of affinity.keys.
struct affinity_key {
    checked<std::string> read(const scalar& found) const;
    std::string allowed() const;
    std::string text(const std::string& value) const { return value; }
};

/// `auto`, or a platform such as linux/arm64 or linux/arm/v7.
struct platform_name {
    checked<std::string> read(const scalar& found) const;
    std::string allowed() const { return "auto, or OS/ARCH[/VARIANT] such as linux/arm64"; }
    std::string text(const std::string& value) const { return value; }
};

/// The complaint about a word that is none of `words`.
complaint unknown_word(const scalar& found, std::span<const std::string_view> words);

template <class E>
struct word {
    std::string_view text;
    E value;
};

/// One of a few words: `constexpr one_of formats{word{"text", format::text}, word{"json", format::json}};`
template <class E, std::size_t N>
class one_of {
public:
    template <class... Words>
    constexpr explicit one_of(Words... w) : words_{w...}
    {
    }

    checked<E> read(const scalar& found) const
    {
        for (const word<E>& w : words_) {
            if (w.text == found.text) {
                return w.value;
            }
        }
        return unknown_word(found, texts());
    }
    std::string allowed() const { return joined(texts()); }
    std::string text(E value) const
    {
        for (const word<E>& w : words_) {
            if (w.value == value) {
                return std::string{w.text};
            }
        }
        return {};
    }

private:
    std::array<std::string_view, N> texts() const
    {
        std::array<std::string_view, N> out;
        for (std::size_t i = 0; i < N; ++i) {
            out[i] = words_[i].text;
        }
        return out;
    }

    std::array<word<E>, N> words_;
};
template <class E, class... More>
one_of(word<E>, More...) -> one_of<E, 1 + sizeof...(More)>;

}  // namespace buildkit_lb::config
