#include "buildkit/content.hpp"

#include <algorithm>

#include "buildkit/solve_info.hpp"
#include "buildkit/wire/content.pb.h"
#include "buildkit/wire/control.pb.h"
#include "buildkit/wire_reader.hpp"

namespace buildkit_lb::buildkit {
namespace {

using wire::content::ReadContentRequest;
using wire::content::ReadContentResponse;
using descriptor = wire::control::Descriptor;
using event = wire::control::BuildHistoryEvent;
using record = wire::control::BuildHistoryRecord;
using build_result = wire::control::BuildResultInfo;

constexpr std::string_view attestation_type = "application/vnd.in-toto+json";

void read_descriptor(std::string_view bytes, std::vector<content_descriptor>& out)
{
    content_descriptor found;
    bool is_attestation = false;
    wire_reader fields{bytes};
    while (fields.next()) {
        switch (fields.number()) {
            case descriptor::kMediaTypeFieldNumber: is_attestation = fields.bytes() == attestation_type; break;
            case descriptor::kDigestFieldNumber: found.digest = fields.bytes(); break;
            case descriptor::kSizeFieldNumber: found.size = static_cast<std::int64_t>(fields.varint()); break;
            default: break;
        }
    }
    const bool is_new =
        std::none_of(out.begin(), out.end(), [&](const auto& known) { return known.digest == found.digest; });
    if (is_attestation && is_new && out.size() < max_attestations && !fields.malformed() &&
        found.digest.size() <= max_ref_length) {
        out.push_back(std::move(found));
    }
}

void read_result(std::string_view bytes, std::vector<content_descriptor>& out)
{
    wire_reader fields{bytes};
    while (fields.next()) {
        if (fields.number() == build_result::kAttestationsFieldNumber) {
            read_descriptor(fields.bytes(), out);
        }
    }
}

void read_record(std::string_view bytes, std::vector<content_descriptor>& out)
{
    wire_reader fields{bytes};
    while (fields.next()) {
        if (fields.number() == record::kResultFieldNumber) {
            read_result(fields.bytes(), out);
        } else if (fields.number() == record::kResultsFieldNumber) {
            std::string_view platform;
            std::string_view of_platform;
            if (read_map_entry(fields.bytes(), platform, of_platform)) {
                read_result(of_platform, out);
            }
        }
    }
}

}  // namespace

result<content_request> parse_content_request(std::string_view message)
{
    // Info has the digest alone, in the same field.
    static_assert(int{wire::content::InfoRequest::kDigestFieldNumber} == int{ReadContentRequest::kDigestFieldNumber});
    content_request out;
    std::string_view digest;
    wire_reader fields{message};
    while (fields.next()) {
        switch (fields.number()) {
            case ReadContentRequest::kDigestFieldNumber: digest = fields.bytes(); break;
            case ReadContentRequest::kOffsetFieldNumber: out.offset = static_cast<std::int64_t>(fields.varint()); break;
            case ReadContentRequest::kSizeFieldNumber: out.size = static_cast<std::int64_t>(fields.varint()); break;
            default: break;
        }
    }
    if (fields.malformed()) {
        return failure{errc::protocol, failure_source::downstream, false, "a malformed Content request"};
    }
    if (digest.size() > max_ref_length) {
        return failure{errc::too_large, failure_source::downstream, false,
                       "Content request with a digest of more than " + std::to_string(max_ref_length) + " bytes"};
    }
    out.digest = digest;
    return out;
}

std::string content_read_request(const std::string& digest)
{
    ReadContentRequest request;
    request.set_digest(digest);
    return request.SerializeAsString();
}

std::string content_of_read(std::string_view answer)
{
    ReadContentResponse response;
    return response.ParseFromArray(answer.data(), static_cast<int>(answer.size())) ? response.data() : std::string{};
}

std::string content_info_answer(const std::string& digest, std::size_t size)
{
    wire::content::InfoResponse response;
    response.mutable_info()->set_digest(digest);
    response.mutable_info()->set_size(static_cast<std::int64_t>(size));
    return response.SerializeAsString();
}

std::string content_read_answer(std::int64_t offset, std::string_view part)
{
    ReadContentResponse response;
    response.set_offset(offset);
    response.set_data(std::string{part});
    return response.SerializeAsString();
}

std::vector<content_descriptor> attestations_of(std::string_view message)
{
    std::vector<content_descriptor> out;
    wire_reader fields{message};
    while (fields.next()) {
        if (fields.number() == event::kRecordFieldNumber) {
            read_record(fields.bytes(), out);
        }
    }
    return out;
}

}  // namespace buildkit_lb::buildkit
