#include "balancer/placement.hpp"

namespace buildkit_lb::balancer {

void placement::call_all(const news& continuations)
{
    for (const auto& c : continuations) {
        c();
    }
}

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
