#include "proxy/buildkit/build_record.hpp"

#include <algorithm>
#include <utility>

namespace buildkit_lb::proxy {

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
    was_placed_ = was_placed_ || how == motion_state::running;
    last_moved_ = clock::now();
}

bool build_record::was_placed() const
{
    const std::lock_guard lock{mutex_};
    return was_placed_;
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

void build_registry::remove(const build_record& build)
{
    const std::lock_guard lock{mutex_};
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
