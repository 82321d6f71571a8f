#include "buildkit/ref_walk.hpp"

#include "buildkit/wire/gateway.pb.h"
#include "buildkit/wire_reader.hpp"

namespace buildkit_lb::buildkit {
namespace {

using namespace wire::gateway;

// Map entries are messages of a key and a value.
constexpr std::uint32_t value_field = 2;

void append_varint(std::uint64_t value, std::string& out)
{
    for (; value >= 0x80; value >>= 7U) {
        out += static_cast<char>(value | 0x80U);
    }
    out += static_cast<char>(value);
}

void append_field(std::uint32_t number, std::string_view bytes, std::string& out)
{
    constexpr std::uint32_t length_delimited = 2;
    append_varint((std::uint64_t{number} << 3U) | length_delimited, out);
    append_varint(bytes.size(), out);
    out += bytes;
}

/// Copies a message. `change` is asked for every field that holds bytes: it appends to its third argument what these
/// are to be and says `changed`, or says that they stay, or that they are malformed.
enum class outcome { stays, changed, malformed };

template <class Change>
bool copy_message(std::string_view message, std::string& out, Change change)
{
    wire_reader fields{message};
    std::string changed;
    while (fields.next()) {
        outcome what = outcome::stays;
        if (fields.wire_type() == wire_reader::type::bytes) {
            changed.clear();
            what = change(fields.number(), fields.bytes(), changed);
        }
        switch (what) {
            case outcome::malformed: return false;
            case outcome::stays: out += fields.raw(); break;
            case outcome::changed: append_field(fields.number(), changed, out); break;
        }
    }
    return !fields.malformed();
}

/// One walk over one message. Each member appends the copy of what it is given to `out`.
class walk {
public:
    explicit walk(const ref_visitor& visit) : visit_{visit} {}

    outcome id(const std::string& place, std::string_view bytes, std::string& out) const
    {
        if (!bytes.empty()) {
            out += visit_(place, bytes);
        }
        return outcome::changed;
    }

    outcome ref(const std::string& place, std::string_view bytes, std::string& out) const
    {
        return done(copy_message(bytes, out, [&](std::uint32_t number, std::string_view value, std::string& changed) {
            return number == Ref::kIdFieldNumber ? id(place, value, changed) : outcome::stays;
        }));
    }

    outcome attestation(const std::string& place, std::string_view bytes, std::string& out) const
    {
        return done(copy_message(bytes, out, [&](std::uint32_t number, std::string_view value, std::string& changed) {
            return number == Attestation::kRefFieldNumber ? ref(place, value, changed) : outcome::stays;
        }));
    }

    outcome attestations(const std::string& place, std::string_view bytes, std::string& out) const
    {
        std::size_t count = 0;
        return done(copy_message(bytes, out, [&](std::uint32_t number, std::string_view value, std::string& changed) {
            return number == Attestations::kAttestationFieldNumber
                       ? attestation(place + "/" + std::to_string(count++), value, changed)
                       : outcome::stays;
        }));
    }

    /// An entry of a map; `inner` is the member for its value.
    using member = outcome (walk::*)(const std::string&, std::string_view, std::string&) const;
    outcome entry(const std::string& place, member inner, std::string_view bytes, std::string& out) const
    {
        std::string_view key;
        std::string_view ignored;
        if (!read_map_entry(bytes, key, ignored)) {
            return outcome::malformed;
        }
        const std::string below = place + "/" + std::string{key};
        return done(copy_message(bytes, out, [&](std::uint32_t number, std::string_view value, std::string& changed) {
            return number == value_field ? (this->*inner)(below, value, changed) : outcome::stays;
        }));
    }

    outcome refs(member inner, std::string_view bytes, std::string& out) const
    {
        return done(copy_message(bytes, out, [&](std::uint32_t number, std::string_view value, std::string& changed) {
            return number == RefMap::kRefsFieldNumber ? entry("refs", inner, value, changed) : outcome::stays;
        }));
    }

    outcome whole_result(std::string_view bytes, std::string& out) const
    {
        return done(copy_message(bytes, out, [&](std::uint32_t number, std::string_view value, std::string& changed) {
            switch (number) {
                case Result::kRefDeprecatedFieldNumber: return id("ref", value, changed);
                case Result::kRefsDeprecatedFieldNumber: return refs(&walk::id, value, changed);
                case Result::kRefFieldNumber: return ref("ref", value, changed);
                case Result::kRefsFieldNumber: return refs(&walk::ref, value, changed);
                case Result::kAttestationsFieldNumber:
                    return entry("attestations", &walk::attestations, value, changed);
                default: return outcome::stays;
            }
        }));
    }

private:
    static outcome done(bool good) { return good ? outcome::changed : outcome::malformed; }

    const ref_visitor& visit_;
};

}  // namespace

bool walk_solve_response(std::string_view message, const ref_visitor& visit, std::string& out)
{
    const walk over{visit};
    return copy_message(message, out, [&](std::uint32_t number, std::string_view value, std::string& changed) {
        switch (number) {
            case SolveResponse::kRefFieldNumber: return over.id("answer", value, changed);
            case SolveResponse::kResultFieldNumber: return over.whole_result(value, changed);
            default: return outcome::stays;
        }
    });
}

bool walk_return(std::string_view message, const ref_visitor& visit, std::string& out)
{
    const walk over{visit};
    return copy_message(message, out, [&](std::uint32_t number, std::string_view value, std::string& changed) {
        return number == ReturnRequest::kResultFieldNumber ? over.whole_result(value, changed) : outcome::stays;
    });
}

bool walk_ref_request(std::string_view message, const ref_visitor& visit, std::string& out)
{
    const walk over{visit};
    return copy_message(message, out, [&](std::uint32_t number, std::string_view value, std::string& changed) {
        return number == RefRequest::kRefFieldNumber ? over.id("ref", value, changed) : outcome::stays;
    });
}

}  // namespace buildkit_lb::buildkit
