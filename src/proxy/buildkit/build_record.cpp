#include "proxy/buildkit/build_record.hpp"

#include <algorithm>
#include <utility>

namespace buildkit_lb::proxy {

void build_record::key_is_known()
{
    const std::lock_guard lock{mutex_};
    key_known_ = true;
}

void build_record::waits(build_wait_state for_what)
{
    const std::lock_guard lock{mutex_};
    waiting_ = std::move(for_what);
}

build_wait_state build_record::waiting() const
{
    const std::lock_guard lock{mutex_};
    return waiting_;
}

void build_record::moves(motion_state how)
{
    const std::lock_guard lock{mutex_};
    motion_ = how;
    last_moved_ = clock::now();
}

void build_record::placed(build_place where)
{
    const std::lock_guard lock{mutex_};
    if (!first_placed_) {
        first_placed_ = where.since;
    }
    place_ = std::move(where);
    ++attempts_;
    motion_ = motion_state::running;
    last_moved_ = clock::now();
}

std::optional<build_place> build_record::place() const
{
    const std::lock_guard lock{mutex_};
    return place_;
}

std::optional<time_point> build_record::first_placed() const
{
    const std::lock_guard lock{mutex_};
    return first_placed_;
}

void build_record::lost_with(std::string worker)
{
    const std::lock_guard lock{mutex_};
    lost_workers_.push_back(std::move(worker));
}

std::vector<std::string> build_record::lost_workers() const
{
    const std::lock_guard lock{mutex_};
    return lost_workers_;
}

std::string build_record::close_open_steps()
{
    const std::lock_guard lock{mutex_};
    return status_.close_open(std::chrono::system_clock::now());
}

std::optional<balancer::build_motion> build_record::motion() const
{
    const std::lock_guard lock{mutex_};
    if (motion_ == motion_state::none) {
        return std::nullopt;
    }
    const bool busy = motion_ == motion_state::being_sent || open_status_streams_ == 0 || status_.totals().open != 0;
    return balancer::build_motion{invocation, last_moved_, busy};
}

void build_record::status_message(std::string_view message)
{
    const std::lock_guard lock{mutex_};
    last_moved_ = clock::now();
    // A message that is none is the client's to complain about: it passes on as it is.
    (void)status_.feed(message, std::chrono::system_clock::now());
}

buildkit::status_totals build_record::totals() const
{
    const std::lock_guard lock{mutex_};
    return status_.totals();
}

balancer::build_summary build_record::summary(const std::string& pool, time_point now) const
{
    using stage = balancer::build_summary::stage;
    const auto past = std::chrono::duration_cast<std::chrono::system_clock::duration>(now - arrived);
    balancer::build_summary s;
    s.ref = ref;
    s.pool = pool;
    s.invocation = invocation;
    s.linked = linked;
    s.arrived = std::chrono::system_clock::now() - past;
    s.waited = now - arrived;
    const std::lock_guard lock{mutex_};
    if (key_known_) {
        s.key = key;
        s.key_source = key_source;
    }
    if (place_) {
        s.worker = place_->worker;
        s.policy = place_->policy;
        s.reason = place_->reason;
        s.waited = *first_placed_ - arrived;
        s.took = now - *first_placed_;
    }
    s.lost_workers = lost_workers_;
    s.attempts = attempts_;
    // One that was lost with its worker and waits for another is queued again.
    s.state = motion_ != motion_state::none || (place_ && !waiting_.place) ? stage::active : stage::queued;
    if (s.state == stage::queued && waiting_.place) {
        s.position = waiting_.place->position.load(std::memory_order_relaxed);
        s.length = waiting_.place->length.load(std::memory_order_relaxed);
    }
    s.steps = status_.totals().completed;
    s.cached = status_.totals().cached;
    return s;
}

void build_record::status_opened()
{
    const std::lock_guard lock{mutex_};
    ++open_status_streams_;
}

void build_record::status_closed()
{
    std::function<void(bool)> then;
    {
        const std::lock_guard lock{mutex_};
        if (--open_status_streams_ == 0) {
            then = std::exchange(on_status_closed_, nullptr);
        }
    }
    if (then) {
        then(true);
    }
}

void build_record::when_status_closed(std::function<void(bool)> then)
{
    {
        const std::lock_guard lock{mutex_};
        if (open_status_streams_ != 0) {
            on_status_closed_ = std::move(then);
            return;
        }
    }
    then(true);
}

void build_registry::add(std::shared_ptr<build_record> build)
{
    const std::lock_guard lock{mutex_};
    builds_[build->ref] = std::move(build);
}

void build_registry::keep_recent(std::size_t count)
{
    const std::lock_guard lock{mutex_};
    most_recent_ = count;
    recent_.resize(std::min(recent_.size(), count));
}

void build_registry::ended(const build_record& build, balancer::build_summary how)
{
    auto kept = build.internal ? nullptr : std::make_shared<const balancer::build_summary>(std::move(how));
    const std::lock_guard lock{mutex_};
    remove_locked(build);
    if (kept && most_recent_ != 0) {
        recent_.resize(std::min(recent_.size(), most_recent_ - 1));
        recent_.push_front(std::move(kept));
    }
}

std::vector<balancer::build_summary> build_registry::summaries(const std::string& pool, time_point now) const
{
    std::vector<std::shared_ptr<const build_record>> running;
    std::vector<std::shared_ptr<const balancer::build_summary>> past;
    {
        const std::lock_guard lock{mutex_};
        for (const auto& [ref, build] : builds_) {
            if (!build->internal) {
                running.push_back(build);
            }
        }
        past.assign(recent_.begin(), recent_.end());
    }
    std::vector<balancer::build_summary> all;
    all.reserve(running.size() + past.size());
    for (const auto& build : running) {
        all.push_back(build->summary(pool, now));
    }
    for (const auto& summary : past) {
        all.push_back(*summary);
    }
    return all;
}

void build_registry::remove(const build_record& build)
{
    const std::lock_guard lock{mutex_};
    remove_locked(build);
}

void build_registry::remove_locked(const build_record& build)
{
    const auto found = builds_.find(build.ref);
    if (found != builds_.end() && found->second.get() == &build) {
        builds_.erase(found);
    }
}

std::shared_ptr<build_record> build_registry::find(const std::string& ref) const
{
    const std::lock_guard lock{mutex_};
    const auto found = builds_.find(ref);
    return found != builds_.end() ? found->second : nullptr;
}

std::size_t build_registry::size() const
{
    const std::lock_guard lock{mutex_};
    return builds_.size();
}

std::vector<balancer::build_motion> build_registry::motions() const
{
    std::vector<balancer::build_motion> all;
    const std::lock_guard lock{mutex_};
    for (const auto& [ref, build] : builds_) {
        if (auto motion = build->internal ? std::nullopt : build->motion()) {
            all.push_back(std::move(*motion));
        }
    }
    return all;
}

bool build_registry::has_siblings(const build_record& build) const
{
    const std::lock_guard lock{mutex_};
    return std::any_of(builds_.begin(), builds_.end(), [&](const auto& entry) {
        const build_record& other = *entry.second;
        return &other != &build && !other.internal && other.invocation == build.invocation;
    });
}

}  // namespace buildkit_lb::proxy
