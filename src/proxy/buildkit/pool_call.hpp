#pragma once

#include <boost/asio/awaitable.hpp>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/event.hpp"
#include "proxy/buildkit/call.hpp"
#include "proxy/buildkit/upstream_call.hpp"

namespace buildkit_lb::proxy {

/// The workers of a pool that can be asked something: all that are not down, draining ones too, and of names that are
/// known to be one daemon only the first.
std::vector<std::shared_ptr<balancer::worker>> askable_workers(const balancer::pool_snapshot& pool);

/// `w` is in the pool and not down.
bool can_be_asked(const balancer::pool_snapshot& pool, const balancer::worker& w);

/// One worker that a pool_call has asked.
class asked_worker {
public:
    asked_worker(std::shared_ptr<balancer::worker> w, std::uint64_t number) : worker{std::move(w)}, number_{number} {}

    const std::shared_ptr<balancer::worker> worker;

    /// The next message of its answer; nullopt while there is none.
    std::optional<std::string> take();

    /// How it ended; nullopt while it goes on. Messages come before.
    const std::optional<buildkit::grpc_ending>& ended() const { return ending_; }
    /// The status is the worker's own: it was reached, and has answered.
    bool answered() const { return by_worker_; }

private:
    friend class pool_call;
    const std::uint64_t number_;           // of its pool_call; no two are the same
    std::unique_ptr<upstream_call> call_;  // null while it is being connected to, and after the end
    std::optional<buildkit::grpc_ending> ending_;
    bool by_worker_ = false;
    bool told_ = false;        // next() has returned its end
    time_point silent_since_;  // since then nothing has come
};

/// One request that is sent to several workers at once, on the links of the connection it belongs to. Lives in a flow;
/// when it is destroyed, for example because the client is gone, what still runs is cancelled on the workers.
///
/// A worker that can't be reached, is lost, goes down in the pool meanwhile, or stays silent for too long, is given up
/// with an ending of ours; that is logged with its name and counted.
class pool_call {
public:
    /// `headers` and `message` are what each worker gets; `method` is what the log and the metric call it.
    /// `patience`: how long a worker may stay silent.
    pool_call(buildkit_connection& on, std::string_view method, http2::header_list headers, std::string message,
              duration patience);
    pool_call(const pool_call&) = delete;
    pool_call& operator=(const pool_call&) = delete;
    ~pool_call();

    void ask(const std::shared_ptr<balancer::worker>& w);
    void ask(const std::vector<std::shared_ptr<balancer::worker>>& workers);

    /// A worker that has a message to take, or that has ended (once); they take turns. nullptr: it is `until`; without
    /// one, all have ended and were returned.
    boost::asio::awaitable<asked_worker*> next(time_point until = time_point::max());

    /// Nothing more will come.
    bool over() const;
    std::size_t size() const;
    /// Drops a worker that has ended.
    void forget(const asked_worker& w);

private:
    struct state;

    static boost::asio::awaitable<void> open(std::shared_ptr<state> s, std::shared_ptr<balancer::worker> worker,
                                             std::uint64_t number);
    asked_worker* find_news();
    void look_after(time_point now);
    static void end(state& s, asked_worker& w, buildkit::grpc_ending how, bool by_worker);

    std::shared_ptr<state> state_;
};

}  // namespace buildkit_lb::proxy
