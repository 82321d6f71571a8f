#include "balancer/requirements.hpp"

#include <algorithm>
#include <map>

namespace buildkit_lb::balancer {
namespace {

std::string_view native_platform_of(const worker_facts& facts)
{
    return facts.platforms.empty() ? std::string_view{} : facts.platforms.front();
}

bool meets(const worker_view& view, const std::vector<label_map>& labels)
{
    return std::all_of(labels.begin(), labels.end(), [&](const label_map& some) {
        return std::all_of(some.begin(), some.end(),
                           [&](const auto& l) { return label_of(view, l.first) == l.second; });
    });
}

}  // namespace

std::string_view label_of(const worker_view& view, std::string_view name)
{
    if (name == platform_label) {
        return view.facts ? native_platform_of(*view.facts) : std::string_view{};
    }
    const auto& configured = view.labels;
    if (const auto own = configured.find(name); own != configured.end()) {
        return own->second;
    }
    if (view.facts) {
        if (const auto told = view.facts->labels.find(name); told != view.facts->labels.end()) {
            return told->second;
        }
    }
    return {};
}

std::shared_ptr<const pool_snapshot> narrowed(std::shared_ptr<const pool_snapshot> pool, const label_map& labels)
{
    if (labels.empty()) {
        return pool;
    }
    auto some = std::make_shared<pool_snapshot>(*pool);
    std::erase_if(some->workers, [&](const worker_view& view) { return !meets(view, {labels}); });
    return some;
}

std::string commonest_platform(const std::vector<worker_view>& views, const std::vector<label_map>& labels)
{
    std::map<std::string_view, int> count;
    int most = 0;
    for (const auto& view : views) {
        if (view.facts && !view.facts->platforms.empty() && meets(view, labels)) {
            most = std::max(most, ++count[view.facts->platforms.front()]);
        }
    }
    for (const auto& view : views) {
        if (view.facts && meets(view, labels)) {
            const auto found = count.find(native_platform_of(*view.facts));
            if (found != count.end() && found->second == most) {
                return view.facts->platforms.front();
            }
        }
    }
    return {};
}

fitting_workers::fitting_workers(const pool_snapshot& of, const requirements& wanted, const platform_settings& settings)
    : wanted_{wanted}, routing_{settings.routing}
{
    if (routing_ && wanted.platforms.empty() && !wanted.any_platform) {
        if (!settings.default_platform.empty()) {
            default_ = settings.default_platform;
        } else {
            default_ = wanted.labels.empty() ? of.commonest_platform : commonest_platform(of.workers, wanted.labels);
        }
    }
    const bool asks = routing_ && (!default_.empty() || !wanted.platforms.empty());
    all_ = wanted.labels.empty() &&
           (!asks || (of.same_platforms && !of.workers.empty() && platform_of(of.workers.front()) == fitness::native));
}

fitness fitting_workers::of(const worker_view& view) const
{
    if (all_) {
        return fitness::native;
    }
    return has_labels(view) ? platform_of(view) : fitness::none;
}

bool fitting_workers::has_labels(const worker_view& view) const
{
    return meets(view, wanted_.labels);
}

fitness fitting_workers::platform_of(const worker_view& view) const
{
    if (!routing_ || (default_.empty() && wanted_.platforms.empty())) {
        return fitness::native;
    }
    if (!view.facts || view.facts->platforms.empty()) {
        return fitness::unknown;
    }
    const auto& has = view.facts->platforms;
    if (wanted_.platforms.empty()) {
        return view.facts->platforms.front() == default_ ? fitness::native : fitness::none;
    }
    bool native = false;
    for (const auto& p : wanted_.platforms) {
        if (std::find(has.begin(), has.end(), p) == has.end()) {
            return fitness::none;
        }
        native = native || runs_natively(has.front(), p);
    }
    return native ? fitness::native : fitness::emulated;
}

std::string fitting_workers::misfit(const worker_view& view) const
{
    std::string text;
    for (const auto& some : wanted_.labels) {
        for (const auto& [name, value] : some) {
            const auto has = label_of(view, name);
            if (has != value) {
                text += (text.empty() ? "has " : ", ") + (has.empty() ? "no " + name : name + "=" + std::string{has});
            }
        }
    }
    if (platform_of(view) == fitness::none) {
        text += text.empty() ? "has " : ", ";
        std::string names;
        for (const auto& p : view.facts->platforms) {
            names += (names.empty() ? "" : ",") + p;
        }
        text += wanted_.platforms.empty() ? view.facts->platforms.front() : names;
    }
    return text;
}

std::string fitting_workers::text() const
{
    std::string text;
    for (const auto& p : wanted_.platforms) {
        text += (text.empty() ? "" : " and ") + p;
    }
    if (!default_.empty()) {
        text = default_ + " natively (the default platform)";
    }
    for (const auto& some : wanted_.labels) {
        text += (text.empty() ? "" : " and ") + to_text(some);
    }
    return text;
}

}  // namespace buildkit_lb::balancer
