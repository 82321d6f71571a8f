#include "proxy/buildkit/status_call.hpp"

#include <utility>

#include "buildkit/grpc_framing.hpp"
#include "buildkit/methods.hpp"
#include "buildkit/wire_time.hpp"
#include "proxy/buildkit/ask.hpp"
#include "proxy/buildkit/connection.hpp"
#include "proxy/buildkit/upstream_call.hpp"

namespace buildkit_lb::proxy {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using buildkit::grpc_code;

namespace {

// How often the place in the queue is looked at while the build waits for another worker.
constexpr auto next_look = 500ms;

/// Tells the client what happens between two attempts.
class between_attempts {
public:
    between_attempts(call& c, build_attempts& build, own_lines& lines) : call_{c}, build_{build}, lines_{lines} {}

    /// Steps of a lost worker are closed as soon as it is clear that the build goes on.
    void look()
    {
        for (; closed_ < build_.closings().size(); ++closed_) {
            if (const auto& closing = build_.closings()[closed_]; !closing.empty()) {
                call_.tell(closing);
            }
        }
        if (!build_.begun() && !build_.over()) {
            lines_.look_at(build_.record());
        }
    }

    void begun(const attempt& on)
    {
        if (on.number > told_) {
            lines_.restarted(build_.record(), on.number);
        }
        told_ = on.number;
    }

private:
    call& call_;
    build_attempts& build_;
    own_lines& lines_;
    std::size_t closed_ = build_.closings().size();  // what was before is not this call's
    std::size_t told_ = build_.closings().size() + 1;
};

}  // namespace

asio::awaitable<void> run_status_call(call_ptr c, std::string message, std::shared_ptr<build_attempts> build,
                                      own_lines& lines)
{
    c->drop_request();
    const buffer_slice request = buffer_slice::copy_of(buildkit::framed(message));
    const auto headers = own_request(c->headers());
    const std::shared_ptr<build_record> record = build->record().shared_from_this();
    c->begin_answer({{buildkit::timestamp_header, buildkit::rfc3339(std::chrono::system_clock::now())}});
    attempt_watch watch{build};
    between_attempts between{*c, *build, lines};
    // The client shows the first error that it sees: that is to be Solve's. So a loss is no error here.
    buildkit::grpc_ending ending{grpc_code::ok, {}, {}};
    int unknown = 0;
    while (!build->failed()) {
        between.look();
        const attempt_ptr on = build->begun();
        if (!on && build->over()) {
            break;
        }
        if (!on) {
            co_await watch.news(clock::now() + next_look);
            continue;
        }
        between.begun(*on);
        if (const bool reached = co_await reach(*build, on); !reached) {
            continue;
        }
        upstream_call call{c->connection().executor(), on->to, headers, request, watch.on_news()};
        while (build->goes_on(*on) && call.ended() == nullptr) {
            if (const auto told = call.take()) {
                record->status_message(*told);
                c->tell(buildkit::framed(*told));
                co_await c->room_to_tell();
            } else {
                co_await watch.news();
            }
        }
        if (!build->goes_on(*on)) {
            continue;  // lost: whatever that worker still says is not heard
        }
        if (call.lost()) {
            if (build->lost(*on, call.ended()->message)) {
                continue;
            }
            break;
        }
        if (buildkit::is_unknown_build(*call.ended(), record->ref) && !build->over() &&
            ++unknown < unknown_build_attempts) {
            continue;
        }
        if (call.ended()->code != grpc_code::ok) {
            ending = *call.ended();
            break;
        }
        // A worker that has told everything may be lost before it has answered Solve.
        while (build->goes_on(*on) && !build->over()) {
            co_await watch.news();
        }
        if (build->goes_on(*on)) {
            break;
        }
    }
    if (const auto& why = build->failed()) {
        lines.given_up({errc::unreachable, failure_source::upstream, false, why->message});
    }
    c->end(ending);
}

}  // namespace buildkit_lb::proxy
