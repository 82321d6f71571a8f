#pragma once

#include <concepts>
#include <cstdint>
#include <spdlog/spdlog.h>
#include <string>
#include <string_view>
#include <vector>

namespace buildkit_lb::log {

enum class level : std::uint8_t { debug, info, warn, error };
enum class format : std::uint8_t { text, json };

/// Chooses what is written to standard error from now on. Before it is called: text, info and above.
/// Called by main and by a reload; the other functions may be called from any thread.
void configure(level least, format as);

/// One key=value of an event. Numbers and booleans stay what they are in JSON.
struct field {
    std::string_view key;
    std::string value;
    bool quoted = true;  ///< the value is a string, not a number or a boolean

    field(std::string_view k, std::string_view v) : key{k}, value{v} {}
    field(std::string_view k, const char* v) : key{k}, value{v} {}
    field(std::string_view k, const std::string& v) : key{k}, value{v} {}
    field(std::string_view k, bool v) : key{k}, value{v ? "true" : "false"}, quoted{false} {}
    template <class Number>
        requires((std::integral<Number> || std::floating_point<Number>) && !std::same_as<Number, bool>)
    field(std::string_view k, Number v) : key{k}, value{fmt::format("{}", v)}, quoted{false}
    {
    }
};

/// Writes one event as one line: `2026-01-02T03:04:05.678Z info worker is up pool=default worker=w1`.
void write(level at, std::string_view event, const std::vector<field>& fields);
bool enabled(level at);

inline void debug(std::string_view event, const std::vector<field>& fields = {})
{
    write(level::debug, event, fields);
}
inline void info(std::string_view event, const std::vector<field>& fields = {})
{
    write(level::info, event, fields);
}
inline void warn(std::string_view event, const std::vector<field>& fields = {})
{
    write(level::warn, event, fields);
}
inline void error(std::string_view event, const std::vector<field>& fields = {})
{
    write(level::error, event, fields);
}

}  // namespace buildkit_lb::log
