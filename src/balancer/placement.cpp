#include "balancer/placement.hpp"

#include <algorithm>

namespace buildkit_lb::balancer {
namespace {

void call_all(std::vector<std::function<void()>>& continuations)
{
    for (auto& c : continuations) {
        c();
    }
}

}  // namespace

void placement::set_limits(const placement_limits& limits)
{
    const std::lock_guard lock{mutex_};
    limits_ = limits;
}

bool placement::begin(const build_description& description)
{
    const std::lock_guard lock{mutex_};
    const auto [at, is_new] = builds_.try_emplace(description.ref);
    if (!is_new) {
        return false;
    }
    at->second.what = description;
    if (const auto early = early_inputs_.find(description.ref); early != early_inputs_.end()) {
        at->second.inputs = std::move(early->second);
        early_inputs_.erase(early);
        early_by_age_.remove(description.ref);  // rare, and few
    }
    if (failed_.erase(description.ref) != 0) {
        failed_by_age_.remove(description.ref);  // begun again: rare
    }
    for (const auto& session : description.sessions) {
        builds_of_session_[session].insert(description.ref);
    }
    return true;
}

void placement::placed(const std::string& ref, worker_ptr where)
{
    news out;
    {
        const std::lock_guard lock{mutex_};
        const auto found = builds_.find(ref);
        if (found == builds_.end()) {
            return;
        }
        found->second.where = where;
        outcome what;
        what.what = outcome::kind::placed;
        what.where = std::move(where);
        release(ref, what, out);
        settle_children(out);
    }
    call_all(out);
}

void placement::lost(const std::string& ref)
{
    const std::lock_guard lock{mutex_};
    if (const auto found = builds_.find(ref); found != builds_.end()) {
        found->second.where = nullptr;
    }
}

void placement::failed(const std::string& ref, const failure& why)
{
    news out;
    {
        const std::lock_guard lock{mutex_};
        if (!builds_.contains(ref)) {
            return;
        }
        give_up(ref, why, out);
        settle_children(out);
    }
    call_all(out);
}

void placement::ended(const std::string& ref)
{
    news out;
    {
        const std::lock_guard lock{mutex_};
        const auto found = builds_.find(ref);
        if (found == builds_.end()) {
            return;
        }
        const worker_ptr where = found->second.where;
        if (where) {
            forget(ref);
            remember(ref, where);
            release(ref, {outcome::kind::finished, where, {}}, out);
        } else {
            // The client took its Solve back before it was placed; what else it sends for it is void too.
            give_up(ref, {errc::canceled, failure_source::downstream, false, "the build was canceled"}, out);
        }
        settle_children(out);
    }
    call_all(out);
}

void placement::give_up(const std::string& ref, const failure& why, news& out)
{
    forget(ref);
    if (failed_.insert_or_assign(ref, why).second) {
        failed_by_age_.push_back(ref);
    }
    if (failed_.size() > max_failed) {
        failed_.erase(failed_by_age_.front());
        failed_by_age_.pop_front();
    }
    release(ref, {outcome::kind::failed, nullptr, why}, out);
}

placement::wait_id placement::wait_for(const std::string& ref, std::size_t bytes, time_point now, continuation then)
{
    outcome known;
    {
        const std::lock_guard lock{mutex_};
        const auto running = builds_.find(ref);
        const auto finished = remembered_.find(ref);
        if (running != builds_.end() && running->second.where) {
            known.what = outcome::kind::placed;
            known.where = running->second.where;
        } else if (running == builds_.end() && finished != remembered_.end()) {
            known.what = outcome::kind::finished;
            known.where = finished->second.where;
        } else if (const auto failed = failed_.find(ref); running == builds_.end() && failed != failed_.end()) {
            known.what = outcome::kind::failed;
            known.why = failed->second;
        } else if (wait_index_.size() >= limits_.held_calls || held_bytes_ + bytes > limits_.held_bytes) {
            known.what = outcome::kind::refused;
        } else {
            wait w;
            w.id = ++last_wait_;
            w.bytes = bytes;
            w.then = std::move(then);
            hold(ref, std::move(w), now);
            return last_wait_;
        }
    }
    then(known);
    return no_wait;
}

void placement::hold(const std::string& ref, wait w, time_point now)
{
    const wait_id id = w.id;
    held_bytes_ += w.bytes;
    auto& of_ref = waits_[ref];
    const auto at = of_ref.insert(of_ref.end(), std::move(w));
    wait_index_.emplace(id, place_of_wait{ref, at});
    deadlines_.emplace_back(now + limits_.hold_time, id);
}

void placement::cancel_wait(wait_id id)
{
    const std::lock_guard lock{mutex_};
    const auto found = wait_index_.find(id);
    if (found == wait_index_.end()) {
        return;
    }
    const auto of_ref = waits_.find(found->second.ref);
    held_bytes_ -= found->second.at->bytes;
    of_ref->second.erase(found->second.at);
    if (of_ref->second.empty()) {
        waits_.erase(of_ref);
    }
    wait_index_.erase(found);
}

void placement::expire(time_point now)
{
    news out;
    {
        const std::lock_guard lock{mutex_};
        while (!deadlines_.empty() && deadlines_.front().first <= now) {
            const wait_id id = deadlines_.front().second;
            deadlines_.pop_front();
            const auto found = wait_index_.find(id);
            if (found == wait_index_.end()) {
                continue;
            }
            // Once its Solve is here a call waits as long as the build does.
            if (builds_.contains(found->second.ref)) {
                continue;
            }
            const auto of_ref = waits_.find(found->second.ref);
            out.emplace_back([then = std::move(found->second.at->then)] { then(outcome{}); });
            held_bytes_ -= found->second.at->bytes;
            of_ref->second.erase(found->second.at);
            if (of_ref->second.empty()) {
                waits_.erase(of_ref);
            }
            wait_index_.erase(found);
        }
    }
    call_all(out);
}

placement::worker_ptr placement::find(const std::string& ref) const
{
    const std::lock_guard lock{mutex_};
    if (const auto running = builds_.find(ref); running != builds_.end()) {
        return running->second.where;
    }
    const auto finished = remembered_.find(ref);
    return finished != remembered_.end() ? finished->second.where : nullptr;
}

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
    const auto parents = parents_of(child);
    std::map<worker_ptr, std::size_t> counts;
    for (const auto& [ref, where] : parents.all) {
        if (where && !is_on(where, child.not_on)) {
            ++counts[where];
        } else if (!parents.only_shared) {
            return;  // asked again when it is placed
        }
    }
    worker_ptr best;
    std::size_t most = 0;
    for (const auto& [where, count] : counts) {
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
    const auto parents = parents_of(child->second);
    return std::any_of(parents.all.begin(), parents.all.end(),
                       [&](const auto& parent) { return is_on(parent.second, child->second.not_on); });
}

void placement::settle_children(news& out)
{
    const std::vector<std::string> asking{orphans_.begin(), orphans_.end()};
    for (const auto& ref : asking) {
        try_find_parent(builds_.at(ref), out);
    }
}

void placement::release(const std::string& ref, const outcome& what, news& out)
{
    const auto of_ref = waits_.find(ref);
    if (of_ref == waits_.end()) {
        return;
    }
    for (auto& w : of_ref->second) {
        held_bytes_ -= w.bytes;
        wait_index_.erase(w.id);
        out.emplace_back([then = std::move(w.then), what] { then(what); });
    }
    waits_.erase(of_ref);
}

void placement::forget(const std::string& ref)
{
    const auto found = builds_.find(ref);
    for (const auto& session : found->second.what.sessions) {
        const auto of_session = builds_of_session_.find(session);
        if (of_session != builds_of_session_.end()) {
            of_session->second.erase(ref);
            if (of_session->second.empty()) {
                builds_of_session_.erase(of_session);
            }
        }
    }
    orphans_.erase(ref);
    builds_.erase(found);
}

void placement::remember(const std::string& ref, const worker_ptr& where)
{
    if (limits_.remembered_builds == 0) {
        return;
    }
    if (const auto known = remembered_.find(ref); known != remembered_.end()) {
        by_age_.erase(known->second.age);
    }
    by_age_.push_back(ref);
    remembered_[ref] = remembered{where, std::prev(by_age_.end())};
    while (remembered_.size() > limits_.remembered_builds) {
        remembered_.erase(by_age_.front());
        by_age_.pop_front();
    }
}

placement::counts placement::count() const
{
    const std::lock_guard lock{mutex_};
    counts now;
    now.active = builds_.size();
    now.held_calls = wait_index_.size();
    now.held_bytes = held_bytes_;
    now.remembered = remembered_.size();
    now.named_sessions = builds_of_session_.size();
    now.early_inputs = early_inputs_.size();
    return now;
}

}  // namespace buildkit_lb::balancer
