#include "buildkit/solve_info.hpp"
#include "proxy/buildkit/build_wait.hpp"
#include "proxy/buildkit/connection.hpp"
#include "proxy/buildkit/flows.hpp"
#include "proxy/buildkit/own_lines.hpp"
#include "proxy/buildkit/status_call.hpp"

namespace buildkit_lb::proxy {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using balancer::placement;
using buildkit::grpc_code;

namespace {

// A build that is placed within this time has not waited, as people see it.
constexpr auto first_look = 300ms;

// How often the place in the queue is looked at while the build waits.
constexpr auto next_look = 500ms;

/// Looks for a build of the past in the workers' histories while its Status is held. Cancelled when it is destroyed.
class history_search {
public:
    /// `found` is called when a worker has the build.
    history_search(call_ptr c, const std::string& ref, std::function<void(placement::outcome)> found)
        : ended_{std::make_shared<bool>(false)},
          signal_{c->connection().tasks().spawn("search history", run(c, ref, std::move(found), ended_))}
    {
    }
    history_search(const history_search&) = delete;
    history_search& operator=(const history_search&) = delete;
    ~history_search()
    {
        if (!*ended_) {
            signal_.emit(asio::cancellation_type::terminal);
        }
    }

private:
    static asio::awaitable<void> run(call_ptr c, std::string ref, std::function<void(placement::outcome)> found,
                                     std::shared_ptr<bool> ended)
    {
        try {
            if (auto where = co_await find_in_history(c, std::move(ref))) {
                found({placement::outcome::kind::finished, std::move(where), {}});
            }
        } catch (...) {
            *ended = true;  // cancelled
            throw;
        }
        *ended = true;
    }

    std::shared_ptr<bool> ended_;
    asio::cancellation_signal& signal_;  // good until the task has ended
};

}  // namespace

asio::awaitable<void> flow_status(call_ptr c)
{
    auto message = co_await c->first_message();
    if (!message) {
        co_return;
    }
    const auto ref = buildkit::parse_status_ref(*message);
    if (!ref) {
        c->fail(grpc_code::internal, ref.error().detail);
        co_return;
    }
    auto& service = c->connection().service();
    auto& builds = service.shared.builds;
    own_lines lines{*c, *ref, service.progress};
    build_wait wait{*c, *ref};
    std::optional<history_search> search;
    auto where = co_await wait.wait(clock::now() + first_look);
    while (!where) {
        const auto record = builds.find(*ref);
        if (record) {
            lines.look_at(*record);
        }
        if (!record && !search) {
            search.emplace(c, *ref, wait.setter());  // no such build has begun: it may have ended long ago
        }
        where = co_await wait.wait(clock::now() + next_look);
    }
    search.reset();
    using kind = placement::outcome::kind;
    const bool known = where->what == kind::placed || where->what == kind::finished;
    // A worker's history may know an older build of that Ref than the one that waits to be placed.
    if (const auto record = known ? builds.find(*ref) : nullptr; record && record->place()) {
        record->status_opened();
        c->on_ended = [record](const call::ending&) { record->status_closed(); };
        lines.placed(*record);
        if (auto build = c->connection().find_attempts(*ref); build && !build->over()) {
            co_await run_status_call(c, std::move(*message), std::move(build), lines);
            co_return;
        }
        c->on_answer_message = [record](std::string_view m) { record->status_message(m); };
        // The client shows the first error it sees: that is to be Solve's.
        c->code_when_lost = grpc_code::ok;
    } else if (where->what == kind::failed) {
        lines.given_up(where->why);
    }
    co_await relay_by(c, std::move(*where));
}

}  // namespace buildkit_lb::proxy
