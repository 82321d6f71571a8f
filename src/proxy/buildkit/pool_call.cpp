#include "proxy/buildkit/pool_call.hpp"

#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

#include "core/log.hpp"
#include "proxy/buildkit/connection.hpp"

namespace buildkit_lb::proxy {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using buildkit::grpc_code;

namespace {

// How often it is looked whether a worker that is waited for is down, or silent for too long.
constexpr duration look_interval = 500ms;

}  // namespace

std::vector<std::shared_ptr<balancer::worker>> askable_workers(const balancer::pool_snapshot& pool)
{
    std::vector<std::shared_ptr<balancer::worker>> workers;
    std::set<std::string> daemons;
    for (const auto& view : pool.workers) {
        if (view.health == balancer::worker_health::down) {
            continue;
        }
        if (!view.facts || view.facts->id.empty() || daemons.insert(view.facts->id).second) {
            workers.push_back(view.worker);
        }
    }
    return workers;
}

bool can_be_asked(const balancer::pool_snapshot& pool, const balancer::worker& w)
{
    return std::any_of(pool.workers.begin(), pool.workers.end(), [&](const auto& view) {
        return view.worker.get() == &w && view.health != balancer::worker_health::down;
    });
}

/// Outlives the pool_call where a worker is still being connected to.
struct pool_call::state {
    state(buildkit_connection& c, std::string_view m, http2::header_list h, std::string_view message, duration p)
        : connection{c},
          method{m},
          headers{std::move(h)},
          request{buffer_slice::copy_of(buildkit::framed(message))},
          patience{p},
          news{std::make_shared<event>(c.executor())}
    {
    }

    buildkit_connection& connection;
    const std::string method;
    const http2::header_list headers;
    const buffer_slice request;  // one for all: it may be large
    const duration patience;
    std::shared_ptr<event> news;
    std::list<asked_worker> asked;
    std::uint64_t last_number = 0;
    bool abandoned = false;
};

std::optional<std::string> asked_worker::take()
{
    silent_since_ = clock::now();
    return call_ ? call_->take() : std::nullopt;
}

pool_call::pool_call(buildkit_connection& on, std::string_view method, http2::header_list headers, std::string message,
                     duration patience)
    : state_{std::make_shared<state>(on, method, std::move(headers), message, patience)}
{
}

pool_call::~pool_call()
{
    state_->abandoned = true;
    for (auto& w : state_->asked) {
        w.call_ = nullptr;
    }
}

void pool_call::ask(const std::shared_ptr<balancer::worker>& w)
{
    auto& made = state_->asked.emplace_back(w, ++state_->last_number);
    made.silent_since_ = clock::now();
    state_->connection.tasks().spawn("ask worker", open(state_, w, made.number_));
}

void pool_call::ask(const std::vector<std::shared_ptr<balancer::worker>>& workers)
{
    for (const auto& w : workers) {
        ask(w);
    }
}

asio::awaitable<void> pool_call::open(std::shared_ptr<state> s, std::shared_ptr<balancer::worker> worker,
                                      std::uint64_t number)
{
    result<link_table::link_ptr> found = co_await s->connection.links().get(worker);
    // Given up meanwhile, it may be forgotten too, and another one may lie where it was.
    const auto w = std::find_if(s->asked.begin(), s->asked.end(),
                                [&](const asked_worker& a) { return a.number_ == number && !a.ending_; });
    if (s->abandoned || w == s->asked.end()) {
        co_return;
    }
    if (found) {
        w->call_ = std::make_unique<upstream_call>(s->connection.executor(), std::move(*found), s->headers, s->request,
                                                   [news = s->news] { news->set(); });
    } else {
        end(*s, *w, {grpc_code::unavailable, "can't be reached: " + found.error().detail, {}}, false);
    }
    s->news->set();
}

asio::awaitable<asked_worker*> pool_call::next(time_point until)
{
    for (;;) {
        const auto now = clock::now();
        look_after(now);
        state_->news->clear();
        if (auto* found = find_news()) {
            co_return found;
        }
        if (now >= until || (over() && until == time_point::max())) {
            co_return nullptr;
        }
        co_await state_->news->wait(std::min(until, now + look_interval));
    }
}

asked_worker* pool_call::find_news()
{
    auto& asked = state_->asked;
    for (auto w = asked.begin(); w != asked.end(); ++w) {
        const bool ended = w->ending_ && !std::exchange(w->told_, true);
        if (ended || (w->call_ && w->call_->has_message())) {
            asked.splice(asked.end(), asked, w);  // the others' turn
            return &asked.back();
        }
    }
    return nullptr;
}

void pool_call::look_after(time_point now)
{
    const auto pool = state_->connection.service().shared.pool.workers->snapshot();
    for (auto& w : state_->asked) {
        if (w.ending_) {
            continue;
        }
        if (const auto* how = w.call_ ? w.call_->ended() : nullptr) {
            end(*state_, w, *how, !w.call_->lost());
        } else if (w.call_ && w.call_->has_message()) {
            continue;
        } else if (now - w.silent_since_ >= state_->patience) {
            const auto waited = std::chrono::duration_cast<std::chrono::milliseconds>(state_->patience).count();
            end(*state_, w, {grpc_code::deadline_exceeded, "no answer within " + std::to_string(waited) + " ms", {}},
                false);
        } else {
            const auto view = std::find_if(pool->workers.begin(), pool->workers.end(),
                                           [&](const auto& v) { return v.worker == w.worker; });
            if (view == pool->workers.end() || view->health == balancer::worker_health::down) {
                const auto why = view == pool->workers.end() ? "gone" : "down: " + view->last_error;
                end(*state_, w, {grpc_code::unavailable, why, {}}, false);
            }
        }
    }
}

void pool_call::end(state& s, asked_worker& w, buildkit::grpc_ending how, bool by_worker)
{
    w.by_worker_ = by_worker;
    w.call_ = nullptr;
    if (!by_worker) {
        auto& service = s.connection.service();
        const auto& pool = service.shared.pool.workers->name();
        service.instruments.pool_call_failed(pool, w.worker->name(), s.method);
        log::warn("a worker was left out of a call to the whole pool",
                  {{"pool", pool}, {"worker", w.worker->name()}, {"method", s.method}, {"error", how.message}});
    }
    w.ending_ = std::move(how);
}

bool pool_call::over() const
{
    return std::all_of(state_->asked.begin(), state_->asked.end(), [](const asked_worker& w) { return w.told_; });
}

std::size_t pool_call::size() const
{
    return state_->asked.size();
}

void pool_call::forget(const asked_worker& w)
{
    state_->asked.remove_if([&](const asked_worker& a) { return &a == &w; });
}

}  // namespace buildkit_lb::proxy
