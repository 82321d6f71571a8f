#include "proxy/buildkit/build_attempts.hpp"

#include <algorithm>
#include <utility>

#include "core/log.hpp"
#include "proxy/buildkit/connection.hpp"

namespace buildkit_lb::proxy {

namespace asio = boost::asio;

build_attempts::build_attempts(buildkit_connection& client, std::shared_ptr<build_record> record,
                               balancer::failover rules, std::string solve)
    : client_{client},
      record_{std::move(record)},
      rules_{std::move(rules)},
      recording_{std::move(solve), client.service().failover.record, client.recordings()}
{
    check_size();
}

void build_attempts::check_size()
{
    if (recording_.over_limit() && !std::exchange(too_large_, true)) {
        rules_.note(balancer::unrepeatable::over_limit);
        log::info("the build can't start again elsewhere should its worker be lost: it is too large to be kept",
                  {{"ref", record_->ref}, {"failover.record", client_.service().failover.record}});
    }
}

void build_attempts::needs(const std::vector<std::string>& sessions)
{
    for (const auto& uuid : sessions) {
        if (std::find(sessions_.begin(), sessions_.end(), uuid) == sessions_.end()) {
            sessions_.push_back(uuid);
        }
    }
}

balancer::failover::moment build_attempts::now() const
{
    const auto sessions = client_.service().shared.sessions.standing_of(sessions_);
    return {.client_failed = client_failed_, .session_gone = !sessions.all_here, .uploaded = sessions.uploaded};
}

attempt_ptr build_attempts::begin(link_table::link_ptr to)
{
    current_ = std::make_shared<attempt>(attempt{++attempts_, to->worker(), to, {}});
    loss_.clear();
    wake();
    return current_;
}

void build_attempts::open_to_calls()
{
    open_ = current_ != nullptr;
    wake();
}

void build_attempts::restarting()
{
    closings_.push_back(record_->close_open_steps());
    wake();
}

void build_attempts::end()
{
    over_ = true;
    wake();
}

void build_attempts::fail(buildkit::grpc_ending how)
{
    over_ = true;
    failed_ = std::move(how);
    current_ = nullptr;
    open_ = false;
    wake();
}

bool build_attempts::lost(const attempt& where, std::string detail)
{
    if (over_) {
        return false;
    }
    if (goes_on(where)) {
        loss_ = std::move(detail);
        current_ = nullptr;
        open_ = false;
        wake();
    }
    return true;
}

void build_attempts::wake()
{
    for (event* e : watches_) {
        e->set();
    }
}

attempt_watch::attempt_watch(std::shared_ptr<build_attempts> of)
    : build_{std::move(of)}, event_{build_->client().executor()}
{
    build_->watches_.insert(&event_);
}

attempt_watch::~attempt_watch()
{
    build_->watches_.erase(&event_);
}

asio::awaitable<bool> attempt_watch::news(time_point deadline)
{
    // What was set before has been looked at: nothing happens on this thread between that and the wait.
    event_.clear();
    return event_.wait(deadline);
}

asio::awaitable<attempt_ptr> attempt_watch::open()
{
    while (!build_->open() && !build_->over()) {
        co_await news();
    }
    co_return build_->open();
}

}  // namespace buildkit_lb::proxy
