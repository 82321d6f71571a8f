#include "core/log.hpp"

#include <atomic>
#include <memory>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>

namespace buildkit_lb::log {
namespace {

std::atomic<format> current_format{format::text};

spdlog::level::level_enum to_spdlog(level at)
{
    switch (at) {
        case level::debug: return spdlog::level::debug;
        case level::info: return spdlog::level::info;
        case level::warn: return spdlog::level::warn;
        case level::error: break;
    }
    return spdlog::level::err;
}

std::string_view name(level at)
{
    switch (at) {
        case level::debug: return "debug";
        case level::info: return "info";
        case level::warn: return "warn";
        case level::error: break;
    }
    return "error";
}

spdlog::logger& logger()
{
    static const std::shared_ptr<spdlog::logger> instance = [] {
        auto made = std::make_shared<spdlog::logger>("buildkit-lb", std::make_shared<spdlog::sinks::stderr_sink_mt>());
        made->set_formatter(
            std::make_unique<spdlog::pattern_formatter>("%Y-%m-%dT%H:%M:%S.%eZ %v", spdlog::pattern_time_type::utc));
        made->set_level(spdlog::level::info);
        return made;
    }();
    return *instance;
}

/// `text` with what would break a line, a quote or JSON written as JSON escapes.
std::string escaped(std::string_view text)
{
    std::string out;
    out.reserve(text.size());
    for (const char c : text) {
        switch (c) {
            case '"': out += "\\\""; break;
            case '\\': out += "\\\\"; break;
            case '\n': out += "\\n"; break;
            case '\r': out += "\\r"; break;
            case '\t': out += "\\t"; break;
            default:
                if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
                    out += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
                } else {
                    out += c;
                }
        }
    }
    return out;
}

bool needs_quotes(std::string_view value)
{
    return value.empty() || value.find_first_of(" \t\r\n\"\\=") != std::string_view::npos;
}

std::string as_text(level at, std::string_view event, const std::vector<field>& fields)
{
    std::string line = fmt::format("{} {}", name(at), event);
    for (const field& f : fields) {
        if (needs_quotes(f.value)) {
            line += fmt::format(" {}=\"{}\"", f.key, escaped(f.value));
        } else {
            line += fmt::format(" {}={}", f.key, escaped(f.value));
        }
    }
    return line;
}

/// The members after "time" of a JSON line; the sink's pattern writes the time.
std::string as_json(level at, std::string_view event, const std::vector<field>& fields)
{
    std::string line = fmt::format("\"level\":\"{}\",\"event\":\"{}\"", name(at), escaped(event));
    for (const field& f : fields) {
        if (f.quoted) {
            line += fmt::format(",\"{}\":\"{}\"", escaped(f.key), escaped(f.value));
        } else {
            line += fmt::format(",\"{}\":{}", escaped(f.key), f.value);
        }
    }
    return line;
}

}  // namespace

void configure(level least, format as)
{
    current_format = as;
    logger().set_level(to_spdlog(least));
    const char* pattern = as == format::json ? "{\"time\":\"%Y-%m-%dT%H:%M:%S.%eZ\",%v}" : "%Y-%m-%dT%H:%M:%S.%eZ %v";
    logger().set_formatter(std::make_unique<spdlog::pattern_formatter>(pattern, spdlog::pattern_time_type::utc));
}

bool enabled(level at)
{
    return logger().should_log(to_spdlog(at));
}

void write(level at, std::string_view event, const std::vector<field>& fields)
{
    if (!enabled(at)) {
        return;
    }
    const std::string line = current_format == format::json ? as_json(at, event, fields) : as_text(at, event, fields);
    logger().log(to_spdlog(at), spdlog::string_view_t{line.data(), line.size()});
}

}  // namespace buildkit_lb::log
