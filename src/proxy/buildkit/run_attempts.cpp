#include "proxy/buildkit/run_attempts.hpp"

#include <fmt/format.h>
#include <utility>

#include "buildkit/grpc_framing.hpp"
#include "core/log.hpp"
#include "proxy/buildkit/ask.hpp"
#include "proxy/buildkit/attach_sessions.hpp"
#include "proxy/buildkit/connection.hpp"
#include "proxy/buildkit/own_prefix.hpp"
#include "proxy/buildkit/upstream_call.hpp"

namespace buildkit_lb::proxy {

namespace asio = boost::asio;
using balancer::unrepeatable;
using buildkit::grpc_code;
using buildkit::grpc_ending;
using decision = balancer::failover::decision;
using verdict = balancer::failover::verdict;

namespace {

constexpr std::string_view bridge_solve_path = "/moby.buildkit.v1.frontend.LLBBridge/Solve";
constexpr std::string_view bridge_return_path = "/moby.buildkit.v1.frontend.LLBBridge/Return";

/// The build, known to the other calls of its connection for as long as its Solve is here.
class known_attempts {
public:
    known_attempts(running_build& build, std::string request)
        : client_{build.client},
          ref_{build.record->ref},
          attempts_{std::make_shared<build_attempts>(
              client_, build.record, balancer::failover{client_.service().failover}, std::move(request))}
    {
        client_.add_attempts(ref_, attempts_);
    }
    known_attempts(const known_attempts&) = delete;
    known_attempts& operator=(const known_attempts&) = delete;
    ~known_attempts()
    {
        if (!attempts_->over()) {
            attempts_->end();  // its client has taken it back
        }
        client_.remove_attempts(ref_);
    }

    const std::shared_ptr<build_attempts>& get() const { return attempts_; }

private:
    buildkit_connection& client_;
    const std::string ref_;
    std::shared_ptr<build_attempts> attempts_;
};

/// How one attempt ended, and what follows.
struct attempt_end {
    decision what;
    bool is_loss = false;                // by the rules, else the worker has said that it can't go on
    std::optional<std::string> message;  // of Solve's answer
    grpc_ending ending;                  // of Solve, where it was answered or could not be repeated
    call::ending::verdict worker = call::ending::verdict::nothing;
};

http2::header_list bridge_request(const http2::header_list& of_solve, std::string_view path, const std::string& ref)
{
    auto headers = own_request(of_solve, path);
    headers.set(buildkit::build_id_header, ref);
    return headers;
}

/// Asks the attempt's worker again what the client has been answered by others before, and learns its refs. Returns why
/// that is impossible; nullopt when it is done, the attempt is lost, or `given_up` is true.
asio::awaitable<std::optional<grpc_ending>> repeat(attempt_watch& watch, attempt_ptr on,
                                                   const http2::header_list& of_solve, std::function<bool()> given_up)
{
    auto& build = watch.build();
    const std::string& ref = build.record().ref;
    for (const auto& solved : build.recording().to_solve_again()) {
        auto headers = bridge_request(of_solve, bridge_solve_path, ref);
        const auto answer = co_await ask(watch, on, std::move(headers), *solved.request, given_up);
        if (!answer) {
            co_return std::nullopt;
        }
        if (answer->ending.code != grpc_code::ok) {
            co_return grpc_ending{answer->ending.code, "it answered: " + answer->ending.message, {}};
        }
        const auto refs = buildkit::refs_of_answer(answer->message.value_or(std::string{}));
        if (!refs || !on->refs.pair(solved.refs, *refs)) {
            co_return grpc_ending{grpc_code::unavailable, "it gives other results", {}};
        }
    }
    if (const auto returned = build.recording().returned()) {
        auto headers = bridge_request(of_solve, bridge_return_path, ref);
        auto request = on->refs.rewritten(buildkit::method::llb_return, *returned);
        // What is wrong with it, Solve will be answered with.
        co_await ask(watch, on, std::move(headers), request.value_or(*returned), given_up);
    }
    if (build.recording().over_limit()) {
        // By calls that came meanwhile. It may have been dropped before it was repeated.
        co_return grpc_ending{grpc_code::unavailable, std::string{describe(unrepeatable::over_limit)}, {}};
    }
    co_return std::nullopt;
}

/// Sends Solve and what has to be repeated to the worker of `on`, and waits for what comes of it.
asio::awaitable<attempt_end> run_one(attempt_watch& watch, attempt_ptr on, const http2::header_list& headers,
                                     buffer_slice request, std::function<void()> sent)
{
    auto& build = watch.build();
    const std::string& worker = on->where->name();
    upstream_call solve{build.client().executor(), on->to, headers, std::move(request), watch.on_news()};
    sent();
    attempt_end end;
    if (on->number > 1) {
        std::function<bool()> answered = [&solve] { return solve.has_message() || solve.ended() != nullptr; };
        if (auto impossible = co_await repeat(watch, on, headers, std::move(answered))) {
            end.what.what = verdict::fail;
            end.what.why = fmt::format("worker {} was lost, and {} can't go on with the build: {}",
                                       build.record().lost_workers().back(), worker, impossible->message);
            end.ending.code = impossible->code;
            co_return end;
        }
    }
    build.open_to_calls();
    for (;;) {
        if (auto message = solve.take()) {
            end.message = std::move(message);
        } else if (solve.ended() != nullptr || !build.goes_on(*on)) {
            break;
        } else {
            co_await watch.news();
        }
    }
    // A worker that has answered Solve may be gone at once: that is no loss.
    const bool answered = solve.ended() != nullptr && !solve.lost();
    if (build.record().called_elsewhere()) {
        build.rules().note(unrepeatable::called_elsewhere);
    }
    if (answered) {
        end.ending = *solve.ended();
        end.worker = solve.was_reset() ? call::ending::verdict::reset
                                       : call::ending::verdict_of(end.ending.code, end.ending.details);
        end.what = build.rules().answered(worker, buildkit::is_cancelled(end.ending), build.now());
    } else {
        const std::string detail = build.goes_on(*on) ? solve.ended()->message : build.loss();
        end.what = build.rules().lost(worker, detail, build.now());
    }
    if (end.what.what != verdict::pass_on) {
        end.is_loss = true;
        end.ending = {grpc_code::unavailable, {}, {}};
        build.lost(*on, end.what.why);
    }
    co_return end;
}

/// A lost build is given another worker, and all of its sessions there. Null, with the reason in `why`, when none can
/// have it.
asio::awaitable<link_table::link_ptr> find_another(running_build& build, build_attempts& attempts, attempt_ptr lost,
                                                   std::string& why)
{
    build_record& record = *build.record;
    auto& shared = build.client.service().shared;
    log::warn(
        "worker was lost, the build starts again",
        {{"ref", record.ref}, {"pool", shared.pool.workers->name()}, {"worker", lost->where->name()}, {"why", why}});
    // Its place there is free for others, and no call of this build is sent there any more.
    build.lost.push_back(lost->where);
    build.chosen.reset();
    record.moves(build_record::motion_state::none);
    shared.placement.lost(record.ref);
    attempts.restarting();
    failure why_not;
    auto to = co_await place(build, attempts.sessions(), why_not);
    if (to && attempts.recording().over_limit()) {
        // By calls that came while it waited.
        to = nullptr;
        why_not.detail = describe(unrepeatable::over_limit);
    }
    if (!to) {
        why += "; it can't start again: " + std::string{without_own_prefix(why_not.detail)};
        shared.placement.failed(record.ref, {why_not.code, why_not.source, false, std::string{own_prefix} + why});
    }
    co_return to;
}

}  // namespace

asio::awaitable<call::ending> run_attempts(call_ptr solve, running_build& build, std::vector<std::string> sessions,
                                           link_table::link_ptr to)
{
    auto& service = build.client.service();
    auto& shared = service.shared;
    const std::string& pool = shared.pool.workers->name();
    build_record& record = *build.record;
    const auto headers = own_request(solve->headers());
    auto request = co_await solve->first_message();  // which has been read before
    solve->drop_request();
    buffer_slice framed = buffer_slice::copy_of(buildkit::framed(*request));
    const known_attempts known{build, std::move(*request)};
    build_attempts& attempts = *known.get();
    attempts.needs(sessions);
    attempt_watch watch{known.get()};
    for (;;) {
        const attempt_ptr on = attempts.begin(std::exchange(to, nullptr));
        const std::string& worker = on->where->name();
        std::function<void()> sent = [&] {
            record.placed(place_of(build));
            shared.placement.placed(record.ref, on->where);
            shared.traces.learn(solve->headers(), on->where);
            if (on->number > 1) {
                service.instruments.failed_over(pool, record.lost_workers().back(), "restarted");
            }
        };
        auto end = co_await run_one(watch, on, headers, std::exchange(framed, {}), std::move(sent));
        if (end.what.what == verdict::pass_on) {
            if (end.ending.code == grpc_code::ok && end.message) {
                solve->answer(*end.message);
            } else {
                solve->end(end.ending);
            }
            attempts.end();
            co_return call::ending{end.ending.code, false, end.ending.message, end.worker};
        }
        if (end.is_loss) {
            record.lost_with(worker);
        }
        if (end.what.what == verdict::restart) {
            to = co_await find_another(build, attempts, on, end.what.why);
            if (to) {
                framed = buffer_slice::copy_of(buildkit::framed(attempts.recording().solve()));
                continue;
            }
            service.instruments.failed_over(pool, worker, "no_worker");
        } else if (end.is_loss) {
            service.instruments.failed_over(pool, worker, to_string(end.what.counted));
        }
        // Solve first: the client shows the first error it sees.
        end.ending.message = std::string{own_prefix} + end.what.why;
        solve->end(end.ending);
        attempts.fail(end.ending);
        co_return call::ending{end.ending.code, false, end.ending.message};
    }
}

}  // namespace buildkit_lb::proxy
