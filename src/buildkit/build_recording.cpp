#include "buildkit/build_recording.hpp"

#include <utility>

namespace buildkit_lb::buildkit {
namespace {

// What is kept beside the bytes of a request, roughly: a client must not get past the limit with many empty ones.
constexpr std::size_t overhead = 256;

std::size_t cost_of(std::string_view request)
{
    return overhead + request.size();
}

std::size_t cost_of(const std::vector<placed_ref>& refs)
{
    std::size_t sum = 0;
    for (const auto& ref : refs) {
        sum += overhead + ref.place.size() + ref.id.size();
    }
    return sum;
}

}  // namespace

void recording_budget::add(std::size_t bytes)
{
    used += bytes;
    if (all_used != nullptr) {
        all_used->fetch_add(bytes, std::memory_order_relaxed);
    }
}

void recording_budget::remove(std::size_t bytes)
{
    used -= bytes;
    if (all_used != nullptr) {
        all_used->fetch_sub(bytes, std::memory_order_relaxed);
    }
}

build_recording::build_recording(std::string solve, std::size_t limit, recording_budget& budget)
    : limit_{limit}, budget_{budget}, solve_{std::move(solve)}
{
    add(cost_of(solve_));
}

build_recording::call_id build_recording::begin(method kind, shared_text request)
{
    const call_id id = ++last_;
    add(cost_of(*request));
    if (!over_limit_) {
        calls_[id] = call{kind, false, {std::move(request), {}}};
    }
    return id;
}

void build_recording::answered(call_id id, std::vector<placed_ref> refs)
{
    const auto found = calls_.find(id);
    if (found == calls_.end() || found->second.is_answered) {
        return;
    }
    call& c = found->second;
    if (c.kind == method::llb_solve) {
        c.is_answered = true;
        c.what.refs = std::move(refs);
        add(cost_of(c.what.refs));
    } else if (c.kind == method::llb_return && !returned_) {
        // What it costs has been added already.
        returned_ = std::move(c.what.request);
        calls_.erase(found);
    } else {
        erase(found);
    }
}

void build_recording::dropped(call_id id)
{
    const auto found = calls_.find(id);
    if (found != calls_.end() && !found->second.is_answered) {
        erase(found);
    }
}

std::vector<build_recording::solved> build_recording::to_solve_again() const
{
    std::vector<solved> all;
    for (const auto& [id, c] : calls_) {
        if (c.is_answered) {
            all.push_back(c.what);
        }
    }
    return all;
}

void build_recording::add(std::size_t bytes)
{
    if (over_limit_) {
        return;
    }
    bytes_ += bytes;
    budget_.add(bytes);
    if (bytes_ <= limit_ && budget_.used <= budget_.limit) {
        return;
    }
    over_limit_ = true;
    remove(bytes_);
    std::string{}.swap(solve_);
    returned_ = nullptr;
    calls_.clear();
}

void build_recording::remove(std::size_t bytes)
{
    bytes_ -= bytes;
    budget_.remove(bytes);
}

void build_recording::erase(std::map<call_id, call>::iterator at)
{
    remove(cost_of(*at->second.what.request));
    calls_.erase(at);
}

}  // namespace buildkit_lb::buildkit
