#include "buildkit/progress.hpp"

#include <array>
#include <openssl/evp.h>

#include "buildkit/grpc_framing.hpp"
#include "buildkit/wire/control.pb.h"

namespace buildkit_lb::buildkit {
namespace {

using wire::control::StatusResponse;

void add_vertex(StatusResponse& response, const progress_vertex& vertex, wall_time started,
                std::optional<wall_time> completed, std::string_view error)
{
    auto& v = *response.add_vertexes();
    v.set_digest(vertex.digest());
    v.set_name(vertex.name());
    write_timestamp(started, *v.mutable_started());
    if (completed) {
        write_timestamp(*completed, *v.mutable_completed());
    }
    if (!error.empty()) {
        v.set_error(std::string{error});
    }
}

void add_rows(StatusResponse& response, const std::string& digest, const std::vector<progress_vertex::row>& rows,
              wall_time now, bool ending)
{
    for (const progress_vertex::row& r : rows) {
        auto& status = *response.add_statuses();
        status.set_id(r.text);
        status.set_vertex(digest);
        write_timestamp(now, *status.mutable_timestamp());
        write_timestamp(r.started, *status.mutable_started());
        if (r.completed || ending) {
            write_timestamp(r.completed.value_or(now), *status.mutable_completed());
        }
    }
}

std::string framed_response(const StatusResponse& response)
{
    return framed(response.SerializeAsString());
}

}  // namespace

std::string progress_digest(std::string_view ref, std::string_view suffix)
{
    constexpr std::string_view digits = "0123456789abcdef";
    std::string text{"buildkit-lb"};
    text.append(1, '\0').append(ref).append(1, '\0').append(suffix);
    std::array<unsigned char, EVP_MAX_MD_SIZE> hash{};
    unsigned size = 0;
    EVP_Digest(text.data(), text.size(), hash.data(), &size, EVP_sha256(), nullptr);
    std::string out{"sha256:"};
    for (unsigned i = 0; i < size; ++i) {
        out += digits[hash[i] >> 4U];
        out += digits[hash[i] & 0xfU];
    }
    return out;
}

progress_vertex::progress_vertex(std::string_view ref, std::string_view suffix, std::string_view name)
    : digest_{progress_digest(ref, suffix)}, name_{"[buildkit-lb] " + std::string{name}}
{
}

std::string progress_vertex::finished(wall_time at) const
{
    StatusResponse response;
    add_vertex(response, *this, at, at, {});
    return framed_response(response);
}

std::string progress_vertex::open(wall_time at)
{
    started_ = at;
    StatusResponse response;
    add_vertex(response, *this, started_, std::nullopt, {});
    return framed_response(response);
}

std::string progress_vertex::rows(const std::vector<row>& changed, wall_time now) const
{
    StatusResponse response;
    add_rows(response, digest_, changed, now, false);
    return framed_response(response);
}

std::string progress_vertex::completed(wall_time now, const std::vector<row>& last, std::string_view error) const
{
    StatusResponse response;
    add_vertex(response, *this, started_, now, error);
    add_rows(response, digest_, last, now, true);
    return framed_response(response);
}

std::string placed_line(std::string_view ref, std::string_view worker, std::string_view reason, wall_time at)
{
    const std::string name = std::string{worker} + " (" + std::string{reason} + ")";
    return progress_vertex{ref, "placed:" + name, name}.finished(at);
}

std::string restarted_line(std::string_view ref, std::size_t attempt, std::string_view lost, std::string_view worker,
                           wall_time at)
{
    const std::string name = std::string{lost} + " was lost; the build starts again on " + std::string{worker};
    return progress_vertex{ref, "restarted:" + std::to_string(attempt), name}.finished(at);
}

}  // namespace buildkit_lb::buildkit
