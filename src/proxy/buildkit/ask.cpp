#include "proxy/buildkit/ask.hpp"

#include <utility>

#include "buildkit/grpc_framing.hpp"
#include "proxy/buildkit/connection.hpp"
#include "proxy/buildkit/upstream_call.hpp"

namespace buildkit_lb::proxy {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using buildkit::grpc_code;

namespace {

// A worker that cancels everything cancels Solve too, at the same moment.
constexpr auto cancel_patience = 5s;

asio::awaitable<std::optional<unary_answer>> ask_once(attempt_watch& watch, attempt_ptr on,
                                                      const http2::header_list& headers, const buffer_slice& request,
                                                      const std::function<bool()>& given_up)
{
    auto& build = watch.build();
    const auto of_use = [&] { return build.goes_on(*on) && !(given_up && given_up()); };
    const bool reached = co_await reach(build, on);
    if (!reached || !of_use()) {
        co_return std::nullopt;
    }
    upstream_call call{build.client().executor(), on->to, headers, request, watch.on_news()};
    unary_answer answer;
    while (of_use() && call.ended() == nullptr) {
        if (auto message = call.take()) {
            answer.message = std::move(message);
        } else {
            co_await watch.news();
        }
    }
    if (!of_use()) {
        co_return std::nullopt;
    }
    answer.ending = *call.ended();
    if (call.lost()) {
        if (build.lost(*on, answer.ending.message)) {
            co_return std::nullopt;
        }
        answer.ending = lost_ending(*on->where, answer.ending.message);
        answer.message.reset();
    }
    const auto until = clock::now() + cancel_patience;
    while (buildkit::is_cancelled(answer.ending) && of_use() && !build.over()) {
        if (const bool woken = co_await watch.news(until); !woken) {
            break;
        }
    }
    if (!of_use()) {
        co_return std::nullopt;
    }
    co_return answer;
}

}  // namespace

asio::awaitable<std::optional<unary_answer>> ask(attempt_watch& watch, attempt_ptr on, http2::header_list headers,
                                                 std::string request, std::function<bool()> given_up)
{
    auto& build = watch.build();
    const buffer_slice framed = buffer_slice::copy_of(buildkit::framed(request));
    for (int asked = 1;; ++asked) {
        auto answer = co_await ask_once(watch, on, headers, framed, given_up);
        if (!answer || build.over() || asked == unknown_build_attempts ||
            !buildkit::is_unknown_build(answer->ending, build.record().ref)) {
            co_return answer;
        }
    }
}

asio::awaitable<bool> reach(build_attempts& build, attempt_ptr on)
{
    if (on->to->usable()) {
        co_return true;
    }
    auto found = co_await build.client().links().get(on->where);
    if (found) {
        on->to = *found;
        co_return true;
    }
    build.lost(*on, "it takes no more calls: " + found.error().detail);
    co_return false;
}

buildkit::grpc_ending lost_ending(const balancer::worker& where, const std::string& detail)
{
    return {grpc_code::unavailable,
            "buildkit-lb: worker " + where.name() + " was lost" + (detail.empty() ? "" : ": " + detail),
            {}};
}

}  // namespace buildkit_lb::proxy
