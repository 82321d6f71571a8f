#include "proxy/buildkit/bridge_call.hpp"

#include <utility>

#include "proxy/buildkit/ask.hpp"
#include "proxy/buildkit/attach_sessions.hpp"
#include "proxy/buildkit/connection.hpp"
#include "proxy/buildkit/upstream_call.hpp"

namespace buildkit_lb::proxy {

namespace asio = boost::asio;
using buildkit::grpc_code;
using buildkit::method;

namespace {

/// A call in its build's recording, taken out again unless it was answered well.
class recorded_call {
public:
    recorded_call(build_attempts& build, method kind, buildkit::build_recording::shared_text request)
        : recording_{build.recording()}, id_{recording_.begin(kind, std::move(request))}
    {
    }
    recorded_call(const recorded_call&) = delete;
    recorded_call& operator=(const recorded_call&) = delete;
    ~recorded_call() { recording_.dropped(id_); }

    void answered(std::vector<buildkit::placed_ref> refs) { recording_.answered(id_, std::move(refs)); }

private:
    buildkit::build_recording& recording_;
    const buildkit::build_recording::call_id id_;
};

/// Takes note of a good answer before the client has it.
void note(call& c, build_attempts& build, const attempt& on, recorded_call& recorded, const std::string& answer)
{
    std::vector<buildkit::placed_ref> refs;
    if (c.method().kind == method::llb_solve) {
        if (auto found = buildkit::refs_of_answer(answer)) {
            refs = std::move(*found);
        }  // else it is the client's to complain about
    } else if (c.method().kind == method::llb_ping) {
        auto& shared = build.client().service().shared;
        shared.pongs.learn(*on.where, answer, shared.pool.workers->snapshot());
    }
    recorded.answered(std::move(refs));
    build.check_size();
}

}  // namespace

asio::awaitable<void> run_bridge_call(call_ptr c, std::shared_ptr<build_attempts> build,
                                      std::vector<std::string> sessions)
{
    const auto kind = c->method().kind;
    auto message = co_await c->first_message();
    if (!message) {
        co_return;
    }
    c->drop_request();
    auto request = std::make_shared<const std::string>(std::move(*message));
    recorded_call recorded{*build, kind, request};
    build->check_size();
    if (kind == method::llb_return && buildkit::returns_error(*request)) {
        build->client_failed();
    }
    attempt_watch watch{build};
    for (;;) {
        const auto on = co_await watch.open();
        if (!on) {
            // Given up; or Solve is over and nobody is there to answer what comes so late.
            const buildkit::grpc_ending gone{grpc_code::unavailable, "buildkit-lb: the build has ended", {}};
            c->end(build->failed().value_or(gone));
            co_return;
        }
        const auto attached = co_await attach_sessions(build->client(), sessions, on->where);
        if (!attached && attached.error().retryable && build->lost(*on, attached.error().detail)) {
            continue;
        }
        auto sent = on->refs.rewritten(kind, *request);
        if (!sent) {
            c->fail(grpc_code::invalid_argument, "buildkit-lb: the request is no protobuf message");
            co_return;
        }
        if (build->recording().over_limit()) {
            // It can't be sent again. What follows a loss now is the end of the build.
            request = std::make_shared<const std::string>();
        }
        auto headers = own_request(c->headers());
        auto answer = co_await ask(watch, on, std::move(headers), std::move(*sent));
        if (!answer) {
            continue;
        }
        if (answer->ending.code == grpc_code::ok && answer->message) {
            note(*c, *build, *on, recorded, *answer->message);
            c->answer(*answer->message);
        } else {
            c->end(answer->ending);
        }
        co_return;
    }
}

}  // namespace buildkit_lb::proxy
