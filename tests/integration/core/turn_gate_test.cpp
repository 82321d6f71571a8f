#include "core/turn_gate.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <catch2/catch.hpp>
#include <functional>
#include <vector>

#include "core/task_group.hpp"

using namespace buildkit_lb;
using namespace std::chrono_literals;
namespace asio = boost::asio;

namespace {

/// One io_context and coroutines that want through its gate.
struct loop {
    asio::io_context context{1};
    task_group tasks{context.get_executor()};
    std::vector<int> passed;  // in order
    std::vector<boost::system::error_code> problems;

    void want(int name, time_point deadline = time_point::max())
    {
        auto body = [](loop& self, int as, time_point until) -> asio::awaitable<void> {
            const asio::any_io_executor executor = self.context.get_executor();
            auto turn = turn_gate::of(executor).pass(executor, until);
            if (const auto problem = co_await std::move(turn)) {
                self.problems.push_back(problem);
            } else {
                self.passed.push_back(as);
            }
        };
        tasks.spawn("want", body(*this, name, deadline));
    }
};

}  // namespace

TEST_CASE("one passes the gate in a turn of the loop, in order, and what else is ready comes in between")
{
    loop l;
    for (int i = 0; i < 100; ++i) {
        l.want(i);
    }
    std::size_t seen = 0;
    std::size_t most_between = 0;
    std::function<void()> other = [&] {
        most_between = std::max(most_between, l.passed.size() - seen);
        seen = l.passed.size();
        if (seen < 100) {
            asio::post(l.context, other);
        }
    };
    asio::post(l.context, other);
    l.context.run();
    REQUIRE(l.passed.size() == 100);
    CHECK(std::is_sorted(l.passed.begin(), l.passed.end()));
    CHECK(most_between <= 2);  // the end of one turn and the beginning of the next
    CHECK(l.tasks.size() == 0);
}

TEST_CASE("whoever has no turn before its deadline is told so, and the others go on")
{
    loop l;
    l.want(0);
    l.want(1, clock::now() - 1s);
    l.want(2);
    // The first one keeps the loop busy for as long as it takes the second one's timer to be seen.
    l.context.run();
    CHECK(l.passed.size() + l.problems.size() == 3);
    CHECK(l.passed.back() == 2);
    for (const auto& problem : l.problems) {
        CHECK(problem == asio::error::timed_out);
    }
}

TEST_CASE("a coroutine that is cancelled while it waits takes nobody's turn")
{
    loop l;
    loop* other = &l;
    for (int i = 0; i < 3; ++i) {
        l.want(i);
    }
    asio::post(l.context, [other] { other->tasks.cancel(); });
    l.context.run();
    CHECK(l.tasks.size() == 0);
    // The gate is free afterwards.
    l.context.restart();
    l.passed.clear();
    loop* again = &l;
    task_group later{l.context.get_executor()};
    auto body = [](loop& self) -> asio::awaitable<void> {
        const asio::any_io_executor executor = self.context.get_executor();
        auto turn = turn_gate::of(executor).pass(executor, time_point::max());
        if (!co_await std::move(turn)) {
            self.passed.push_back(9);
        }
    };
    later.spawn("later", body(*again));
    l.context.run();
    CHECK(l.passed == std::vector<int>{9});
}
