#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/failure.hpp"

/// containerd's Content service, as far as clients of BuildKit read build records with it. Pure; any thread.
namespace buildkit_lb::buildkit {

/// What a Content/Info or Content/Read request asks for.
struct content_request {
    std::string digest;
    std::int64_t offset = 0;
    std::int64_t size = 0;  ///< 0: all there is
};
/// Malformed bytes, or a digest of more than max_ref_length bytes: an error with the source downstream.
result<content_request> parse_content_request(std::string_view message);

/// The request for all of something.
std::string content_read_request(const std::string& digest);

/// The bytes in one message of an answer to Content/Read; empty when malformed.
std::string content_of_read(std::string_view answer);

/// Answers to Content/Info and Content/Read. `offset` is where `part` begins.
std::string content_info_answer(const std::string& digest, std::size_t size);
std::string content_read_answer(std::int64_t offset, std::string_view part);

/// Something that a build record says its worker has.
struct content_descriptor {
    std::string digest;
    std::int64_t size = 0;
};

inline constexpr std::size_t max_attestations = 64;

/// The attestations (the provenance among them) of the results that a BuildHistoryEvent tells of, each once, not more
/// than max_attestations. Those before the first malformed byte.
std::vector<content_descriptor> attestations_of(std::string_view event);

}  // namespace buildkit_lb::buildkit
