#include <boost/asio/this_coro.hpp>
#include <fmt/format.h>
#include <random>

#include "buildkit/methods.hpp"
#include "buildkit/wire/control.pb.h"
#include "core/log.hpp"
#include "health/kept_probes.hpp"
#include "health/unary_call.hpp"
#include "health/worker_answers.hpp"

namespace buildkit_lb::health {

namespace asio = boost::asio;
using balancer::worker_facts;
using buildkit::grpc_code;

namespace {

using channel_ptr = std::shared_ptr<grpc::Channel>;

constexpr auto list_workers_path = "/moby.buildkit.v1.Control/ListWorkers";
constexpr auto info_path = "/moby.buildkit.v1.Control/Info";
constexpr auto solve_path = "/moby.buildkit.v1.Control/Solve";
constexpr auto ping_path = "/moby.buildkit.v1.frontend.LLBBridge/Ping";
constexpr auto return_path = "/moby.buildkit.v1.frontend.LLBBridge/Return";

// A ReturnRequest whose `result` (field 1) is there and empty: older versions crash without one.
constexpr std::string_view empty_result{"\x0a\x00", 2};

// How often a worker is asked for its capabilities before the balancer does without, until the next occasion.
constexpr int pong_attempts = 3;

/// A Ref that nobody else has, and that tells in the worker's log whose it is.
std::string fresh_ref()
{
    std::random_device random;
    return fmt::format("buildkit-lb-{:08x}{:08x}{:08x}", random(), random(), random());
}

failure canceled()
{
    return {errc::canceled, failure_source::internal, false, "canceled"};
}

/// What is kept between the probes of one worker.
class worker_probe {
public:
    worker_probe(const balancer::worker& w, std::unique_ptr<worker_channel> to) : worker_{w}, connection_{std::move(to)}
    {
    }

    asio::awaitable<probe_result> run(duration timeout);

private:
    asio::awaitable<result<worker_facts>> ask(channel_ptr channel, time_point deadline);
    asio::awaitable<result<std::string>> ask_pong(channel_ptr channel, time_point deadline);
    failure failed(std::string_view call, const unary_call::outcome& ended) const;

    const balancer::worker& worker_;
    asio::any_io_executor executor_;
    const std::unique_ptr<worker_channel> connection_;
    std::shared_ptr<const worker_facts> known_;
    int pong_attempts_left_ = pong_attempts;
};

asio::awaitable<probe_result> worker_probe::run(duration timeout)
{
    executor_ = co_await asio::this_coro::executor;
    const time_point deadline = clock::now() + timeout;
    const channel_ptr channel = connection_->get(timeout);
    result<worker_facts> found = co_await ask(channel, deadline);
    if (!found) {
        connection_->failed();
        pong_attempts_left_ = pong_attempts;
        co_return found.error();
    }
    worker_facts& now = *found;
    if (known_ && !is_other_daemon(*known_, now)) {
        now.pong = known_->pong;
    } else {
        pong_attempts_left_ = pong_attempts;
    }
    if (pong_attempts_left_ > 0) {
        --pong_attempts_left_;
        result<std::string> pong = co_await ask_pong(channel, deadline);
        if (pong) {
            now.pong = std::move(*pong);
            pong_attempts_left_ = 0;
        } else if (pong.error().code == errc::canceled) {
            co_return pong.error();
        } else {
            log::debug("worker did not tell its capabilities",
                       {{"worker", worker_.name()}, {"error", pong.error().detail}});
        }
    }
    if (!known_ || !say_the_same(*known_, now)) {
        known_ = std::make_shared<const worker_facts>(std::move(now));
    }
    co_return probe_report{known_};
}

asio::awaitable<result<worker_facts>> worker_probe::ask(channel_ptr channel, time_point deadline)
{
    unary_call list{executor_, channel, list_workers_path, {}, deadline};
    const auto listed = co_await list.finished();
    if (listed.code != grpc_code::ok || listed.canceled) {
        co_return failed("ListWorkers", listed);
    }
    auto facts = read_worker_list(listed.response);
    if (!facts) {
        co_return failure{errc::protocol, failure_source::upstream, true,
                          worker_.address().to_string() + ": ListWorkers: " + facts.error().text};
    }
    unary_call info{executor_, channel, info_path, {}, deadline};
    const auto informed = co_await info.finished();
    if (informed.code == grpc_code::unimplemented && !informed.canceled) {
        co_return std::move(*facts);
    }
    if (informed.code != grpc_code::ok || informed.canceled) {
        co_return failed("Info", informed);
    }
    if (!add_info(*facts, informed.response)) {
        co_return failure{errc::protocol, failure_source::upstream, true,
                          worker_.address().to_string() + ": Info: an answer that can't be read"};
    }
    co_return std::move(*facts);
}

/// What the worker answers to Ping, which it does within a build only: one of our own that does nothing, as buildx
/// makes them to ask the same. It is internal, so nothing of it is kept in the worker's history, and ends with an empty
/// result rather than being cancelled, which the worker would log as an error.
asio::awaitable<result<std::string>> worker_probe::ask_pong(channel_ptr channel, time_point deadline)
{
    wire::control::SolveRequest request;
    request.set_ref(fresh_ref());
    request.set_internal(true);
    const unary_call::metadata of_build{{std::string{buildkit::build_id_header}, request.ref()}};
    unary_call solve{executor_, channel, solve_path, request.SerializeAsString(), deadline};
    // May overtake the Solve: the worker waits for that.
    unary_call ping{executor_, channel, ping_path, {}, deadline, of_build};
    unary_call::outcome ended = co_await ping.finished();
    result<std::string> pong = failed("Ping", ended);
    if (ended.code == grpc_code::ok && !ended.canceled) {
        pong = std::move(ended.response);
        unary_call done{executor_, channel, return_path, empty_result, deadline, of_build};
        ended = co_await done.finished();
    }
    if (ended.code != grpc_code::ok || ended.canceled) {
        solve.cancel();
    }
    const unary_call::outcome solved = co_await solve.finished();
    if (ended.canceled || solved.canceled) {
        co_return canceled();
    }
    co_return pong;
}

failure worker_probe::failed(std::string_view call, const unary_call::outcome& ended) const
{
    return ended.canceled ? canceled()
                          : call_failure(worker_.address(), call, ended.code, ended.message, ended.connected);
}

}  // namespace

probe_maker buildkit_probes(std::shared_ptr<const tls::client_context> tls)
{
    return make_kept_probes<worker_probe>(std::move(tls));
}

}  // namespace buildkit_lb::health
