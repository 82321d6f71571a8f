#include <algorithm>

#include "balancer/placement.hpp"

// Linked builds: what is known of a build's inputs, and on which worker its parents are.

namespace buildkit_lb::balancer {

void placement::inputs_known(const std::string& ref, build_inputs inputs)
{
    news out;
    {
        const std::lock_guard lock{mutex_};
        const auto found = builds_.find(ref);
        if (found != builds_.end()) {
            found->second.inputs = std::move(inputs);
            if (found->second.find_parent) {
                try_find_parent(found->second, out);
            }
            try_find_source(found->second, out);
        } else if (!remembered_.contains(ref) && !failed_.contains(ref)) {
            if (early_inputs_.insert_or_assign(ref, std::move(inputs)).second) {
                early_by_age_.push_back(ref);
            }
            if (early_inputs_.size() > max_early) {
                early_inputs_.erase(early_by_age_.front());
                early_by_age_.pop_front();
            }
        }
    }
    call_all(out);
}

void placement::find_source(const std::string& ref, source_continuation then)
{
    news out;
    {
        const std::lock_guard lock{mutex_};
        if (const auto found = builds_.find(ref); found != builds_.end()) {
            found->second.find_source = std::move(then);
            try_find_source(found->second, out);
        }
    }
    call_all(out);
}

void placement::try_find_source(build& of, news& out)
{
    if (of.inputs && of.find_source) {
        out.emplace_back([then = std::move(of.find_source), source = of.inputs->remote_source] { then(source); });
        of.find_source = nullptr;
    }
}

void placement::find_parent(const std::string& ref, parent_continuation then, std::vector<worker_ptr> not_on)
{
    news out;
    {
        const std::lock_guard lock{mutex_};
        const auto found = builds_.find(ref);
        if (found == builds_.end()) {
            out.emplace_back([then = std::move(then)] { then(nullptr); });
        } else {
            found->second.find_parent = std::move(then);
            found->second.not_on = std::move(not_on);
            orphans_.insert(ref);
            try_find_parent(found->second, out);
        }
    }
    call_all(out);
}

placement::parents placement::parents_of(const build& child) const
{
    parents found;
    // A session that the child names itself says nothing about its parents, unless it is all there is: a context that
    // all targets share is then the only trace of them.
    const auto& own = child.what.sessions;
    std::vector<std::string> telling;
    for (const auto& session : child.inputs->sessions) {
        if (std::find(own.begin(), own.end(), session) == own.end()) {
            telling.push_back(session);
        }
    }
    found.only_shared = telling.empty();
    for (const auto& session : found.only_shared ? child.inputs->sessions : telling) {
        const auto builds = builds_of_session_.find(session);
        if (builds == builds_of_session_.end()) {
            continue;
        }
        for (const auto& ref : builds->second) {
            if (ref != child.what.ref) {
                found.all[ref] = builds_.at(ref).where;
            }
        }
    }
    return found;
}

bool placement::is_on(const worker_ptr& where, const std::vector<worker_ptr>& some)
{
    return std::find(some.begin(), some.end(), where) != some.end();
}

void placement::try_find_parent(build& child, news& out)
{
    if (!child.inputs) {
        return;
    }
    const auto named = parents_of(child);
    std::map<worker_ptr, std::size_t> on_each;
    for (const auto& [ref, where] : named.all) {
        if (where && !is_on(where, child.not_on)) {
            ++on_each[where];
        } else if (!named.only_shared) {
            return;  // asked again when it is placed
        }
    }
    worker_ptr best;
    std::size_t most = 0;
    for (const auto& [where, count] : on_each) {
        if (count > most) {
            most = count;
            best = where;
        }
    }
    out.emplace_back([then = std::move(child.find_parent), best] { then(best); });
    child.find_parent = nullptr;
    orphans_.erase(child.what.ref);
}

bool placement::parent_stays(const std::string& ref) const
{
    const std::lock_guard lock{mutex_};
    const auto child = builds_.find(ref);
    if (child == builds_.end() || !child->second.inputs) {
        return false;
    }
    const auto named = parents_of(child->second);
    return std::any_of(named.all.begin(), named.all.end(),
                       [&](const auto& parent) { return is_on(parent.second, child->second.not_on); });
}

void placement::settle_children(news& out)
{
    const std::vector<std::string> asking{orphans_.begin(), orphans_.end()};
    for (const auto& ref : asking) {
        try_find_parent(builds_.at(ref), out);
    }
}

}  // namespace buildkit_lb::balancer
