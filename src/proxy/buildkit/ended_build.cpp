#include "proxy/buildkit/ended_build.hpp"

#include <optional>
#include <utility>

#include "buildkit/content.hpp"
#include "buildkit/history_events.hpp"
#include "proxy/buildkit/connection.hpp"
#include "proxy/buildkit/history_follower.hpp"
#include "proxy/buildkit/pool_call.hpp"

namespace buildkit_lb::proxy {

namespace asio = boost::asio;
using buildkit::grpc_code;

namespace {

constexpr std::string_view read_path = "/containerd.services.content.v1.Content/Read";

// In bytes. The provenance of a large build is some hundred kilobytes.
constexpr std::int64_t max_kept = 4 << 20;

/// Keeps for the client what a record names. False: the worker is lost. What is too large, or what the worker can't
/// give, the client may ask for itself.
asio::awaitable<bool> keep(call_ptr c, std::shared_ptr<balancer::worker> where, buildkit::content_descriptor what)
{
    auto& on = c->connection();
    if (what.size > max_kept || on.kept().find(what.digest) != nullptr) {
        co_return true;
    }
    pool_call asked{on, read_path.substr(1), own_request(c->headers(), read_path),
                    buildkit::content_read_request(what.digest), on.service().pool_call_timeout};
    asked.ask(where);
    std::string bytes;
    while (auto* w = co_await asked.next()) {
        if (const auto answer = w->take()) {
            bytes += buildkit::content_of_read(*answer);
        } else if (!w->answered()) {
            co_return false;
        }
        if (std::cmp_greater(bytes.size(), what.size)) {
            co_return true;
        }
    }
    if (std::cmp_equal(bytes.size(), what.size)) {
        on.kept().keep(std::move(what.digest), std::move(bytes));
    }
    co_return true;
}

}  // namespace

asio::awaitable<void> tell_of_ended_build(call_ptr c, std::shared_ptr<balancer::worker> where, std::string message)
{
    // Patient: a daemon answers once it has written the record.
    pool_call asked{c->connection(), c->method().label, own_request(c->headers()), std::move(message), duration::max()};
    asked.ask(where);
    buildkit::history_batch batch{0};
    bool lost = false;
    std::optional<buildkit::grpc_ending> ending;
    while (auto* w = co_await asked.next()) {
        auto bytes = w->take();
        if (!bytes) {
            lost = lost || !w->answered();
            ending = w->ended();
            continue;
        }
        auto event = learn_event(c->connection().service().shared, where, std::move(*bytes));
        if (!event) {
            continue;
        }
        const auto named = buildkit::attestations_of(event->bytes);
        for (const auto& content : named) {
            const bool here = co_await keep(c, where, content);
            lost = lost || !here;
        }
        batch.add(std::move(*event));
        if (batch.bytes() > max_gathered) {
            auto events = batch.take();
            co_await tell_events(c, std::move(events));
        }
    }
    if (!lost && ending && ending->code != grpc_code::ok) {
        c->end(*ending);
        co_return;
    }
    c->begin_answer(history_headers());
    if (!lost) {
        auto events = batch.take();
        co_await tell_events(c, std::move(events));
    }
    c->end({grpc_code::ok, {}, {}});
}

}  // namespace buildkit_lb::proxy
