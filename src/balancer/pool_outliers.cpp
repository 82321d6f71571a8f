// The members of pool that have to do with what real traffic says of its workers.

#include <algorithm>
#include <utility>

#include "balancer/pool.hpp"

namespace buildkit_lb::balancer {

void pool::report_connect_failure(const worker& w, const failure& why, time_point now, traffic_fault fault)
{
    failure_observer observer;
    std::optional<ejection> made;
    update(w, [&](worker_view& view) {
        made = blame(view, fault, why.detail, now);
        observer = observer_;
        if (observer) {
            view.health = worker_health::down;
            view.last_error = why.detail;
        }
    });
    if (observer) {
        observer(w, why);
    }
    if (made) {
        tell(w, &*made, why.detail);
    }
}

void pool::report_fault(const worker& w, traffic_fault fault, const std::string& why, time_point now)
{
    std::optional<ejection> made;
    update(w, [&](worker_view& view) { made = blame(view, fault, why, now); });
    if (made) {
        tell(w, &*made, why);
    }
}

std::optional<ejection> pool::blame(worker_view& view, traffic_fault fault, const std::string& why, time_point now)
{
    latest_ = std::max(latest_, now);
    // It gets no builds while it is down: what fails then is the rest of one outage, however many connections it had.
    if (view.health == worker_health::down || view.leaving) {
        return std::nullopt;
    }
    const auto& all = snapshot_->workers;
    const auto staying =
        static_cast<std::size_t>(std::count_if(all.begin(), all.end(), [](const auto& v) { return !v.leaving; }));
    auto made = outliers_.failed(*view.worker, fault, staying, now);
    if (made) {
        view.ejected = true;
        view.ejected_until = made->until;
        view.ejected_for = why;
    }
    return made;
}

void pool::report_success(const worker& w)
{
    const std::lock_guard lock{mutex_};
    outliers_.succeeded(w);
}

void pool::expire_ejections(time_point now)
{
    end_ejections([now](outlier_detector& outliers) { return outliers.expire(now); }, now);
}

void pool::set_outliers(const outlier_settings& settings, time_point now)
{
    end_ejections([&](outlier_detector& outliers) { return outliers.use(settings, now); }, now);
}

void pool::end_ejections(const std::function<std::vector<const worker*>(outlier_detector&)>& whose, time_point now)
{
    std::vector<std::shared_ptr<worker>> back;
    {
        const std::lock_guard lock{mutex_};
        latest_ = std::max(latest_, now);
        const auto over = whose(outliers_);
        if (over.empty()) {
            return;
        }
        auto next = std::make_shared<pool_snapshot>(*snapshot_);
        for (auto& view : next->workers) {
            if (std::find(over.begin(), over.end(), view.worker.get()) != over.end()) {
                change_view(view, [](worker_view& v) {
                    v.ejected = false;
                    v.ejected_for.clear();
                });
                back.push_back(view.worker);
            }
        }
        snapshot_ = std::move(next);
    }
    serve_queue();
    for (const auto& w : back) {
        tell(*w, nullptr, {});
    }
}

void pool::observe_ejections(ejection_observer observer)
{
    const std::lock_guard lock{mutex_};
    ejection_observer_ = std::move(observer);
}

void pool::tell(const worker& w, const ejection* made, const std::string& why) const
{
    ejection_observer observer;
    {
        const std::lock_guard lock{mutex_};
        observer = ejection_observer_;
    }
    if (observer) {
        observer(w, made, why);
    }
}

}  // namespace buildkit_lb::balancer
