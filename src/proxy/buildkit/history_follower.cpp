#include "proxy/buildkit/history_follower.hpp"

#include <algorithm>
#include <chrono>
#include <map>
#include <utility>

#include "proxy/buildkit/connection.hpp"
#include "proxy/buildkit/gather.hpp"

namespace buildkit_lb::proxy {

namespace asio = boost::asio;
using namespace std::chrono_literals;

namespace {

// A daemon does not tell where what it knows ends and what happens begins. What comes without a pause is the former.
constexpr duration pause = 150ms;
constexpr duration shortest_beginning = 300ms;
constexpr duration longest_beginning = 2s;

// How often it is looked for workers that are up again, and how soon one that has ended is asked again.
constexpr duration look_interval = 500ms;
constexpr duration first_delay = 1s;
constexpr duration longest_delay = 30s;

// An end after this long was no refusal.
constexpr duration long_life = 10s;

constexpr std::size_t max_told = 100'000;

/// When each worker is to be asked.
class asking_plan {
public:
    /// Those of `workers` that are not being listened to and whose time has come.
    std::vector<std::shared_ptr<balancer::worker>> due(const std::vector<std::shared_ptr<balancer::worker>>& workers,
                                                       time_point now)
    {
        std::vector<std::shared_ptr<balancer::worker>> due;
        for (const auto& w : workers) {
            auto& p = places_[w];
            if (!p.listening && now >= p.next) {
                p.listening = true;
                p.since = now;
                due.push_back(w);
            }
        }
        return due;
    }

    void ended(const std::shared_ptr<balancer::worker>& w, time_point now)
    {
        auto& p = places_[w];
        p.listening = false;
        p.delay = now - p.since >= long_life ? first_delay : std::min(2 * p.delay, longest_delay);
        p.next = now + p.delay;
    }

private:
    struct place {
        bool listening = false;
        time_point since;
        time_point next = time_point::min();
        duration delay = first_delay / 2;
    };
    std::map<std::shared_ptr<balancer::worker>, place> places_;
};

time_point end_of_beginning(time_point began, time_point quiet_since)
{
    return std::clamp(quiet_since + pause, began + shortest_beginning, began + longest_beginning);
}

}  // namespace

asio::awaitable<void> tell_events(call_ptr c, std::vector<buildkit::history_event> events)
{
    for (const auto& event : events) {
        co_await c->room_to_tell();
        c->tell(buildkit::framed(event.bytes));
    }
}

bool told_events::add(std::uint64_t identity)
{
    if (!told_.insert(identity).second) {
        return false;
    }
    by_age_.push_back(identity);
    if (by_age_.size() > capacity_) {
        told_.erase(by_age_.front());
        by_age_.pop_front();
    }
    return true;
}

asio::awaitable<void> follow_history(call_ptr c, buildkit::history_request what, std::string message)
{
    auto& shared = c->connection().service().shared;
    c->begin_answer(history_headers());
    pool_call asked{c->connection(), c->method().label, own_request(c->headers()), std::move(message), duration::max()};
    asking_plan plan;
    told_events told{max_told};
    std::optional<buildkit::history_batch> beginning{what.limit};
    const auto began = clock::now();
    auto quiet_since = began;
    pool_failures refusals;
    bool any_accepted = false;
    for (;;) {
        if (c->connection().stopping()) {
            end_for_stop(*c);
            co_return;
        }
        asked.ask(plan.due(askable_workers(*shared.pool.workers->snapshot()), clock::now()));
        const auto until = beginning ? end_of_beginning(began, quiet_since) : clock::now() + look_interval;
        auto* w = co_await asked.next(until);
        const auto now = clock::now();
        if (auto bytes = w != nullptr ? w->take() : std::nullopt) {
            any_accepted = true;
            quiet_since = now;
            auto event = learn_event(shared, w->worker, std::move(*bytes));
            if (event && told.add(event->identity)) {
                if (beginning) {
                    beginning->add(std::move(*event));
                } else {
                    co_await c->room_to_tell();
                    c->tell(buildkit::framed(event->bytes));
                }
            }
        } else if (w != nullptr) {
            plan.ended(w->worker, now);
            if (w->answered() && w->ended()->code != buildkit::grpc_code::ok) {
                std::erase_if(refusals.all, [&](const auto& one) { return one.worker == w->worker; });
                refusals.note(*w);
            }
            asked.forget(*w);
        }
        if (!any_accepted && asked.size() == 0 && !refusals.all.empty()) {
            c->end(refusals.for_all(shared.pool.workers->name()));
            co_return;
        }
        const bool over = now >= end_of_beginning(began, quiet_since);
        if (beginning && (over || beginning->bytes() > max_gathered)) {
            auto events = beginning->take();
            co_await tell_events(c, std::move(events));
            if (over) {
                beginning.reset();
            }
        }
    }
}

}  // namespace buildkit_lb::proxy
