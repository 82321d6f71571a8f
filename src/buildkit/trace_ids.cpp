#include "buildkit/trace_ids.hpp"

#include <algorithm>

#include "buildkit/wire_reader.hpp"

namespace buildkit_lb::buildkit {
namespace {

// opentelemetry/proto/trace/v1/trace.proto and the collector's trace_service.proto.
constexpr std::uint32_t resource_spans = 1;  // of ExportTraceServiceRequest
constexpr std::uint32_t scope_spans = 2;     // of ResourceSpans
constexpr std::uint32_t spans = 2;           // of ScopeSpans
constexpr std::uint32_t trace_id = 1;        // of Span

constexpr std::size_t id_size = 16;

std::string hex(std::string_view bytes)
{
    constexpr std::string_view digits = "0123456789abcdef";
    std::string text;
    for (const char c : bytes) {
        const auto byte = static_cast<unsigned char>(c);
        text += digits[byte >> 4];
        text += digits[byte & 15];
    }
    return text;
}

/// Calls `use` with each field `number` of a message; false when that is malformed, or `use` says so.
template <class Use>
bool each(std::string_view message, std::uint32_t number, Use use)
{
    wire_reader fields{message};
    while (fields.next()) {
        if (fields.number() == number && !use(fields.bytes())) {
            return false;
        }
    }
    return !fields.malformed();
}

}  // namespace

result<std::vector<std::string>> exported_traces(std::string_view message)
{
    std::vector<std::string> found;
    std::string_view last;
    const auto note = [&](std::string_view id) {
        if (id.size() == id_size && id != last && found.size() < max_traces) {
            last = id;
            if (std::string text = hex(id); std::find(found.begin(), found.end(), text) == found.end()) {
                found.push_back(std::move(text));
            }
        }
        return true;
    };
    const bool good = each(message, resource_spans, [&](std::string_view resource) {
        return each(resource, scope_spans, [&](std::string_view scope) {
            return each(scope, spans, [&](std::string_view span) { return each(span, trace_id, note); });
        });
    });
    if (!good) {
        return failure{errc::protocol, failure_source::downstream, false, "a malformed ExportTraceServiceRequest"};
    }
    return found;
}

}  // namespace buildkit_lb::buildkit
