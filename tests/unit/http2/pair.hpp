#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/http2_wire.hpp"
#include "http2/engine.hpp"

namespace buildkit_lb::http2::test {

/// Records what happens to one stream.
class recorder final : public stream_handler {
public:
    void on_informational(stream_ref, header_list h) override { informational.push_back(std::move(h)); }
    void on_headers(stream_ref, header_list h, bool end_stream) override
    {
        headers = std::move(h);
        headers_ended = end_stream;
        log += 'H';
    }
    void on_data(stream_ref stream, buffer_slice data) override
    {
        body += data.view();
        log += 'D';
        if (consumes != nullptr) {
            consumes->consume(stream, data.size());
        }
    }
    void on_trailers(stream_ref, header_list t) override
    {
        trailers = std::move(t);
        log += 'T';
    }
    void on_end(stream_ref) override
    {
        ++ends;
        log += 'E';
    }
    void on_taken(stream_ref, std::size_t bytes) override { taken += bytes; }
    void on_reset(stream_ref, const reset_info& info) override
    {
        reset = info;
        log += 'R';
    }
    void on_closed(stream_ref) override
    {
        ++closes;
        log += 'C';
    }

    stream_ref ref;
    engine* consumes = nullptr;  ///< where set, data is consumed as it comes
    std::vector<header_list> informational;
    header_list headers;
    bool headers_ended = false;
    std::string body;
    std::optional<header_list> trailers;
    std::optional<reset_info> reset;
    std::size_t taken = 0;
    int ends = 0;
    int closes = 0;
    std::string log;  ///< one letter an event
};

/// One end of a connection that records everything.
class endpoint final : public engine_handler {
public:
    endpoint(role as, const options& limits) : e{as, limits, *this} {}

    stream_handler* on_request(stream_ref stream, header_list headers, bool end_stream) override
    {
        if (refuses) {
            return nullptr;
        }
        auto& made = requests.emplace_back(std::make_unique<recorder>());
        made->ref = stream;
        made->headers = std::move(headers);
        made->headers_ended = end_stream;
        made->consumes = consumes ? &e : nullptr;
        return made.get();
    }
    void on_goaway(const goaway_info& info) override
    {
        goaways.push_back(info.last_stream_id);
        goaway_text = std::string{info.debug_data};
    }
    void on_settings(const peer_settings& s) override { settings.push_back(s); }
    void on_error(const connection_error& error) override
    {
        ++errors;
        error_kind = std::string{error.kind};
        error_code_seen = error.code;
    }
    void on_refused(std::string_view kind) override { refused.emplace_back(kind); }
    void on_output_ready() override { ++wakes; }

    /// Everything there is to send, as one string.
    std::string output(std::size_t at_a_time = 256 * 1024)
    {
        std::string all;
        std::size_t got = 0;
        do {
            std::vector<buffer_slice> out;
            got = e.collect(out, at_a_time);
            for (const buffer_slice& s : out) {
                all += s.view();
            }
        } while (got >= at_a_time);
        return all;
    }
    void input(std::string_view bytes) { e.receive(buffer_slice::copy_of(bytes)); }

    bool consumes = true;
    bool refuses = false;
    std::vector<std::unique_ptr<recorder>> requests;
    std::vector<std::int32_t> goaways;
    std::string goaway_text;
    std::vector<peer_settings> settings;
    int errors = 0;
    std::string error_kind;
    std::vector<std::string> refused;
    error_code error_code_seen = error_code::no_error;
    int wakes = 0;
    engine e;  // last: goes first
};

/// A client and a server joined in memory.
struct joined {
    explicit joined(const options& client_limits = {}, const options& server_limits = {})
        : client{role::client, client_limits}, server{role::server, server_limits}
    {
        pass();
    }

    /// Moves bytes both ways until neither end has more to say; at most `piece` bytes are given to receive() at once.
    void pass(std::size_t piece = 65536)
    {
        for (bool moved = true; moved;) {
            moved = move(client, server, piece);
            moved = move(server, client, piece) || moved;
        }
    }

    static bool move(endpoint& from, endpoint& to, std::size_t piece)
    {
        const std::string bytes = from.output();
        for (std::size_t at = 0; at < bytes.size(); at += piece) {
            to.input(std::string_view{bytes}.substr(at, piece));
        }
        return !bytes.empty();
    }

    recorder& request(bool end_stream, const std::string& path = "/x", bool urgent = false)
    {
        auto& made = calls.emplace_back(std::make_unique<recorder>());
        made->consumes = &client.e;
        made->ref = client.e.submit_request(
            {{":method", "POST"}, {":scheme", "http"}, {":path", path}, {":authority", "a"}, {"te", "trailers"}}, *made,
            end_stream, urgent);
        return *made;
    }
    recorder& served(std::size_t index) { return *server.requests.at(index); }

    std::vector<std::unique_ptr<recorder>> calls;
    endpoint client;
    endpoint server;
};

inline buffer_slice text(std::string_view s)
{
    return buffer_slice::copy_of(s);
}

/// `size` bytes in which every piece is different from its neighbours.
inline std::string pattern(std::size_t size, unsigned seed = 1)
{
    std::string s(size, '\0');
    unsigned x = seed * 2654435761U + 1;
    for (char& c : s) {
        x = x * 1664525U + 1013904223U;
        c = static_cast<char>(x >> 24);
    }
    return s;
}

using buildkit_lb::test::frame;
using buildkit_lb::test::preface;

/// The header block of a request without a body, with indexed fields only: GET http / and an authority "a".
inline std::string request_block()
{
    return std::string{"\x82\x86\x84\x41\x01"} + "a";
}

}  // namespace buildkit_lb::http2::test
