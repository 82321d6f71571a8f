#include "proxy/buildkit/pong_memory.hpp"

#include <algorithm>

#include "buildkit/pong.hpp"

namespace buildkit_lb::proxy {

using balancer::worker_health;
using balancer::worker_view;

namespace {

bool takes_builds(const worker_view& view)
{
    return view.health != worker_health::down && !view.draining;
}

const worker_view* find(const pong_memory::snapshot& in, const balancer::worker& w)
{
    const auto at =
        std::find_if(in->workers.begin(), in->workers.end(), [&](const auto& v) { return v.worker.get() == &w; });
    return at == in->workers.end() ? nullptr : &*at;
}

/// The intersection, with the worker records of one whose platform is the commonest.
std::optional<std::string> common_of(std::vector<std::string_view> pongs)
{
    if (pongs.empty()) {
        return std::nullopt;
    }
    std::map<std::string, int> platforms;
    std::vector<std::string> native;
    for (const auto pong : pongs) {
        ++platforms[native.emplace_back(buildkit::native_platform(pong))];
    }
    const auto commonest = std::max_element(native.begin(), native.end(),
                                            [&](const auto& a, const auto& b) { return platforms[a] < platforms[b]; });
    // The first one's are in the answer.
    const auto first = pongs.begin() + (commonest - native.begin());
    std::rotate(pongs.begin(), first, first + 1);
    auto common = buildkit::intersect_pongs(pongs);
    return common ? std::optional{std::move(*common)} : std::nullopt;
}

}  // namespace

void pong_memory::learn(const balancer::worker& worker, std::string_view pong, const snapshot& now)
{
    if (!buildkit::intersect_pongs({pong})) {
        return;  // can't be read
    }
    const worker_view* view = find(now, worker);
    const std::lock_guard lock{mutex_};
    const auto [at, is_new] = learned_.try_emplace(worker.name());
    learned_pong& known = at->second;
    auto facts = view != nullptr ? view->facts : nullptr;
    if (is_new || known.pong != pong || known.facts != facts) {
        known = {std::string{pong}, std::move(facts)};
        latest_ = {};
    }
}

std::optional<std::string> pong_memory::of_all(const snapshot& now)
{
    const std::lock_guard lock{mutex_};
    return answers_for(now).all;
}

std::optional<std::string> pong_memory::of_known(const snapshot& now)
{
    const std::lock_guard lock{mutex_};
    return answers_for(now).known;
}

const pong_memory::answers& pong_memory::answers_for(const snapshot& now)
{
    if (latest_.of == now) {
        return latest_;
    }
    std::vector<std::string_view> active;
    std::vector<std::string_view> sure;  // of the active ones: still true
    std::vector<std::string_view> remembered;
    std::ptrdiff_t taking = 0;
    for (const worker_view& view : now->workers) {
        taking += takes_builds(view) ? 1 : 0;
        const bool told = view.facts && !view.facts->pong.empty();
        const auto learned = learned_.find(view.worker->name());
        if (!told && learned == learned_.end()) {
            continue;
        }
        const std::string_view pong = told ? view.facts->pong : learned->second.pong;
        remembered.push_back(pong);
        if (takes_builds(view)) {
            active.push_back(pong);
            // Without probes that ask, a worker may have become another one unnoticed.
            if (told || (view.facts && learned->second.facts == view.facts)) {
                sure.push_back(pong);
            }
        }
    }
    latest_.of = now;
    latest_.known = common_of(active.empty() ? remembered : active);
    const bool all_sure = std::ssize(sure) == taking;
    latest_.all = all_sure ? (taking > 0 ? common_of(sure) : latest_.known) : std::nullopt;
    return latest_;
}

}  // namespace buildkit_lb::proxy
