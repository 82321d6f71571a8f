#include "buildkit/build_status.hpp"

#include <utility>

#include "buildkit/grpc_framing.hpp"
#include "buildkit/wire/control.pb.h"
#include "buildkit/wire_reader.hpp"
#include "buildkit/wire_time.hpp"

namespace buildkit_lb::buildkit {
namespace {

using wire_vertex = wire::control::Vertex;

// What is kept of open vertices for close_open(), in all and of one: names of steps are short, inputs are digests.
constexpr std::size_t max_open_bytes = std::size_t{4} << 20;
constexpr std::size_t max_digest_length = 256;

}  // namespace

result<void> build_status::feed(std::string_view message, wall_time now)
{
    using response = wire::control::StatusResponse;
    ++totals_.messages;
    totals_.last_message = now;
    wire_reader fields{message};
    bool vertices_good = true;
    while (vertices_good && fields.next()) {
        if (fields.number() == response::kVertexesFieldNumber) {
            vertices_good = feed_vertex(fields.bytes());
        } else if (fields.number() == response::kWarningsFieldNumber) {
            ++totals_.warnings;
        }
    }
    if (fields.malformed() || !vertices_good) {
        return failure{errc::protocol, failure_source::upstream, false, "a malformed StatusResponse"};
    }
    return {};
}

bool build_status::feed_vertex(std::string_view bytes)
{
    std::string_view digest;
    std::optional<wall_time> started;
    bool times_good = true;
    bool completed = false;
    bool cached = false;
    bool failed = false;
    wire_reader fields{bytes};
    while (fields.next()) {
        switch (fields.number()) {
            case wire_vertex::kDigestFieldNumber: digest = fields.bytes(); break;
            case wire_vertex::kCachedFieldNumber: cached = fields.boolean(); break;
            case wire_vertex::kStartedFieldNumber: times_good = read_timestamp(fields.bytes(), started); break;
            case wire_vertex::kCompletedFieldNumber: completed = fields.wire_type() == wire_reader::type::bytes; break;
            case wire_vertex::kErrorFieldNumber: failed = !fields.bytes().empty(); break;
            default: break;
        }
        if (!times_good) {
            return false;
        }
    }
    if (fields.malformed()) {
        return false;
    }
    if (started && (!totals_.first_started || *started < *totals_.first_started)) {
        totals_.first_started = started;
    }

    auto at = digest.size() <= max_digest_length ? vertices_.find(std::string{digest}) : vertices_.end();
    if (at == vertices_.end()) {
        if (digest.size() > max_digest_length || vertices_.size() >= max_vertices_) {
            totals_.overflow = true;
            return true;
        }
        at = vertices_.emplace(digest, vertex{}).first;
        ++totals_.total;
    }
    vertex& v = at->second;
    if (completed && !std::exchange(v.completed, true)) {
        ++totals_.completed;
        totals_.executed += v.cached ? 0 : 1;
    }
    if (cached && !std::exchange(v.cached, true)) {
        ++totals_.cached;
        totals_.executed -= v.completed ? 1 : 0;
    }
    if (failed && !std::exchange(v.failed, true)) {
        ++totals_.errors;
    }

    // A vertex that is sent again without a start does not end it: clients ignore such a duplicate too.
    if (started) {
        set_open(v, !completed, bytes);
    }
    return true;
}

void build_status::set_open(vertex& v, bool open, std::string_view bytes)
{
    if (v.is_open != open) {
        v.is_open = open;
        totals_.open += open ? 1 : 0;
        totals_.open -= open ? 0 : 1;
    }
    open_bytes_ -= v.open.size();
    std::string{}.swap(v.open);
    if (open && open_bytes_ + bytes.size() <= max_open_bytes) {
        v.open = bytes;
        open_bytes_ += bytes.size();
    }
}

std::string build_status::close_open(wall_time now)
{
    wire::control::StatusResponse closing;
    for (auto& [digest, v] : vertices_) {
        if (!v.is_open) {
            continue;
        }
        // A vertex whose bytes were too many to keep stays without its closing line.
        if (wire_vertex closed; !v.open.empty() && closed.ParseFromString(v.open)) {
            write_timestamp(now, *closed.mutable_completed());
            closed.clear_error();  // one that its worker told of an open vertex would be shown as the vertex's end
            *closing.add_vertexes() = std::move(closed);
        }
        set_open(v, false, {});
    }
    return closing.vertexes_size() == 0 ? std::string{} : framed(closing.SerializeAsString());
}

}  // namespace buildkit_lb::buildkit
