#pragma once

#include <charconv>
#include <map>
#include <memory>
#include <string_view>
#include <unordered_map>

#include "http2/connection.hpp"

namespace buildkit_lb::http2::test {

/// A server for tests: answers a request without a body with a short text, `/bytes/N` with N bytes, and one with a body
/// with that body and its trailers. `/sink` answers with an empty body and takes whatever comes.
class echo_service final : public engine_handler {
public:
    /// Called once, before the connection runs.
    void serve(engine& e) { engine_ = &e; }

    stream_handler* on_request(stream_ref stream, header_list headers, bool end_stream) override
    {
        ++requests;
        auto made = std::make_unique<call>(*this, stream);
        call* const handler = made.get();
        calls_.emplace(key(stream), std::move(made));
        handler->begin(headers, end_stream);
        return handler;
    }
    void on_error(const connection_error& error) override { last_error = error.kind; }

    std::size_t open() const { return calls_.size(); }

    int requests = 0;
    std::string last_error;

private:
    static std::uint64_t key(stream_ref s) { return std::uint64_t{s.slot} << 32 | s.generation; }

    class call final : public stream_handler {
    public:
        call(echo_service& owner, stream_ref stream) : owner_{owner}, stream_{stream} {}

        void begin(const header_list& headers, bool end_stream)
        {
            engine& e = *owner_.engine_;
            const std::string_view path = headers.get(":path");
            e.submit_response(stream_, {{":status", "200"}, {"content-type", "text/plain"}}, false);
            if (path.starts_with("/bytes/")) {
                const std::string_view number = path.substr(7);
                std::from_chars(number.data(), number.data() + number.size(), to_send_);
                discards_ = true;
                send_more();
            } else if (path == "/sink") {
                discards_ = true;
                ends_with_request_ = true;
            } else if (end_stream) {
                static thread_local const buffer_slice answer = buffer_slice::copy_of("hello\n");
                e.send_data(stream_, answer);
                e.end_stream(stream_);
            } else {
                ends_with_request_ = true;
            }
        }

        void on_headers(stream_ref, header_list, bool) override {}
        void on_data(stream_ref s, buffer_slice data) override
        {
            if (discards_) {
                owner_.engine_->consume(s, data.size());
            } else {
                owner_.engine_->send_data(s, std::move(data));
            }
        }
        void on_taken(stream_ref s, std::size_t bytes) override
        {
            if (discards_) {
                send_more();
            } else {
                owner_.engine_->consume(s, bytes);
            }
        }
        void on_trailers(stream_ref s, header_list trailers) override
        {
            if (ends_with_request_) {
                owner_.engine_->submit_trailers(s, trailers);
            }
        }
        void on_end(stream_ref s) override
        {
            if (ends_with_request_) {
                owner_.engine_->end_stream(s);
            }
        }
        void on_reset(stream_ref, const reset_info&) override {}
        void on_closed(stream_ref s) override { owner_.calls_.erase(key(s)); }

    private:
        void send_more()
        {
            static thread_local const buffer_block zeros = buffer_block::make(buffer_block::read_block_size);
            engine& e = *owner_.engine_;
            while (to_send_ > 0 && e.queued(stream_) < 4 * zeros.capacity()) {
                const std::size_t part = std::min(to_send_, zeros.capacity());
                e.send_data(stream_, buffer_slice{zeros, 0, part});
                to_send_ -= part;
            }
            if (to_send_ == 0) {
                e.end_stream(stream_);
            }
        }

        echo_service& owner_;
        stream_ref stream_;
        std::size_t to_send_ = 0;
        bool discards_ = false;
        bool ends_with_request_ = false;
    };

    engine* engine_ = nullptr;
    std::unordered_map<std::uint64_t, std::unique_ptr<call>> calls_;
};

}  // namespace buildkit_lb::http2::test
