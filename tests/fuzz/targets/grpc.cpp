#include <string>
#include <vector>
#include <zlib.h>

#include "buildkit/grpc_framing.hpp"
#include "buildkit/grpc_status.hpp"
#include "buildkit/inflate.hpp"
#include "buildkit/methods.hpp"
#include "support/http2_script.hpp"
#include "support/input.hpp"
#include "support/require.hpp"
#include "support/targets.hpp"

namespace buildkit_lb::fuzz {
namespace {

using namespace buildkit;

constexpr std::size_t most = 4096;

struct outcome {
    std::vector<grpc_message> messages;
    bool failed = false;
    bool at_boundary = true;
};

outcome read_all(std::string_view body, std::size_t piece)
{
    outcome out;
    message_reader reader{failure_source::downstream, most};
    for (std::size_t at = 0; at < body.size() && !out.failed; at += piece) {
        std::string_view chunk = body.substr(at, piece);
        while (!chunk.empty() && !out.failed) {
            auto message = reader.next(chunk);
            out.failed = !message;
            if (message && *message) {
                out.messages.push_back(**message);
            }
            require(reader.held() <= most, "no more is held than one message");
        }
    }
    out.at_boundary = reader.at_boundary();
    return out;
}

outcome scan_all(std::string_view body, std::size_t piece)
{
    outcome out;
    message_scanner scanner{failure_source::downstream, most};
    for (std::size_t at = 0; at < body.size() && !out.failed; at += piece) {
        std::string_view chunk = body.substr(at, piece);
        while (!chunk.empty() && !out.failed) {
            const auto found = scanner.next(chunk);
            out.failed = !found;
            if (!found || !*found) {
                continue;
            }
            const message_scanner::piece& p = **found;
            if (p.first) {
                out.messages.emplace_back();
            }
            require(!out.messages.empty(), "a message has a first piece");
            out.messages.back().payload += p.bytes;
            out.messages.back().compressed = p.compressed;
            require(!p.last || out.messages.back().payload.size() == p.length, "a message is as long as it said");
        }
    }
    out.at_boundary = scanner.at_boundary();
    if (!out.messages.empty() && out.messages.size() > scanner.messages()) {
        out.messages.pop_back();  // not complete
    }
    return out;
}

bool same(const outcome& a, const outcome& b)
{
    return a.failed == b.failed && (a.failed || a.at_boundary == b.at_boundary) &&
           std::equal(a.messages.begin(), a.messages.end(), b.messages.begin(), b.messages.end(),
                      [](const grpc_message& x, const grpc_message& y) {
                          return x.payload == y.payload && x.compressed == y.compressed;
                      });
}

void check_body(std::string_view body, std::size_t piece)
{
    const outcome whole = read_all(body, body.size() + 1);
    require(same(whole, read_all(body, piece)), "a body in pieces reads like the whole");
    require(same(whole, scan_all(body, piece)), "the scanner sees the messages that the reader reads");
    std::string again;
    for (const grpc_message& m : whole.messages) {
        again += m.framed();
        const auto text = readable(m, failure_source::downstream, most);
        require(!text || text->size() <= most, "no more is inflated than allowed");
    }
    require(body.starts_with(again), "messages are framed as they came");
}

void check_inflate(std::string_view bytes)
{
    const auto text = inflate(bytes, failure_source::downstream, most);
    require(!text || text->size() <= most, "no more is inflated than allowed");
    if (bytes.size() > most) {
        return;
    }
    auto size = compressBound(bytes.size());
    std::string packed(size, '\0');
    compress(reinterpret_cast<Bytef*>(packed.data()), &size, reinterpret_cast<const Bytef*>(bytes.data()),
             bytes.size());
    packed.resize(size);
    const auto unpacked = inflate(packed, failure_source::downstream, most);
    require(unpacked && *unpacked == bytes, "what was deflated is inflated");
    if (bytes.size() > 1) {
        const auto cut = inflate(packed, failure_source::downstream, bytes.size() - 1);
        require(!cut && cut.error().code == errc::too_large, "a byte too much is too much");
    }
}

void check_words(std::string_view text)
{
    const std::string encoded = percent_encode(text);
    require(percent_decode(encoded) == text, "a status message is read as it was written");
    percent_decode(text);
    require(parse_grpc_status(grpc_status_value(parse_grpc_status(text))) == parse_grpc_status(text),
            "a status is read as it was written");
    const std::string_view trace = trace_id_of(text);
    require(trace.empty() || trace.size() == 32, "a trace id has 32 digits");
    require(!classify(text).label.empty(), "every path has a label");
}

}  // namespace

void grpc(std::string_view input)
{
    fuzz_input script{input};
    const std::uint8_t how = script.byte();
    switch (how >> 6U) {
        case 0:
        case 1: check_body(script.rest(), piece_size(how)); break;
        case 2: check_inflate(script.rest()); break;
        default: check_words(script.rest()); break;
    }
}

}  // namespace buildkit_lb::fuzz
