#include "proxy/buildkit/worker_memory.hpp"

#include <algorithm>

#include "buildkit/methods.hpp"

namespace buildkit_lb::proxy {
namespace {

void add_once(trace_memory::workers& to, const std::shared_ptr<balancer::worker>& w)
{
    if (std::find(to.begin(), to.end(), w) == to.end()) {
        to.push_back(w);
    }
}

}  // namespace

void worker_memory::learn(std::string_view what, const std::shared_ptr<balancer::worker>& where)
{
    const std::lock_guard lock{mutex_};
    const auto [known, is_new] = known_.insert_or_assign(std::string{what}, where);
    if (is_new) {
        by_age_.push_back(known->first);
        if (by_age_.size() > capacity_) {
            known_.erase(by_age_.front());
            by_age_.pop_front();
        }
    }
}

std::shared_ptr<balancer::worker> worker_memory::find(const std::string& what) const
{
    const std::lock_guard lock{mutex_};
    const auto found = known_.find(what);
    return found != known_.end() ? found->second : nullptr;
}

std::size_t worker_memory::size() const
{
    const std::lock_guard lock{mutex_};
    return known_.size();
}

void trace_memory::learn(const http2::header_list& solve, const std::shared_ptr<balancer::worker>& where)
{
    const auto trace = buildkit::trace_id_of(solve.get(buildkit::trace_parent_header));
    if (trace.empty()) {
        return;
    }
    const std::lock_guard lock{mutex_};
    const auto [known, is_new] = known_.try_emplace(std::string{trace});
    add_once(known->second, where);
    if (is_new) {
        by_age_.push_back(known->first);
        if (by_age_.size() > capacity_) {
            known_.erase(by_age_.front());
            by_age_.pop_front();
        }
    }
}

trace_memory::workers trace_memory::find(const std::vector<std::string>& traces) const
{
    workers all;
    const std::lock_guard lock{mutex_};
    for (const auto& trace : traces) {
        if (const auto found = known_.find(trace); found != known_.end()) {
            for (const auto& w : found->second) {
                add_once(all, w);
            }
        }
    }
    return all;
}

std::size_t trace_memory::size() const
{
    const std::lock_guard lock{mutex_};
    return known_.size();
}

}  // namespace buildkit_lb::proxy
