#include "balancer/outlier_detector.hpp"

#include <algorithm>

namespace buildkit_lb::balancer {

std::string_view to_string(traffic_fault fault)
{
    switch (fault) {
        case traffic_fault::connect: return "connect";
        case traffic_fault::reset: return "reset";
        case traffic_fault::unavailable: break;
    }
    return "unavailable";
}

std::optional<ejection> outlier_detector::failed(const worker& w, traffic_fault fault, std::size_t workers,
                                                 time_point now)
{
    if (is_off()) {
        return std::nullopt;
    }
    record& of = records_[&w];
    if (of.until) {
        return std::nullopt;  // builds that were there before go on, and may go on failing
    }
    ++of.failures;
    if (of.failures < settings_.consecutive_failures || ejected_ >= most_ejected(workers)) {
        return std::nullopt;
    }
    const std::uint32_t number = ejections_left(of, now) + 1;
    const duration longest = std::max(settings_.max_ejection_time, settings_.ejection_time);
    // Divided, because the product might not fit.
    const duration lasts =
        longest / settings_.ejection_time < number ? longest : settings_.ejection_time * std::int64_t{number};
    ejection made{fault, of.failures, number, now + lasts, lasts};
    of = {0, number, made.until, {}};
    ++ejected_;
    return made;
}

void outlier_detector::succeeded(const worker& w)
{
    if (const auto found = records_.find(&w); found != records_.end()) {
        found->second.failures = 0;
    }
}

std::vector<const worker*> outlier_detector::expire(time_point now)
{
    std::vector<const worker*> over;
    if (ejected_ == 0) {
        return over;
    }
    for (auto& [w, of] : records_) {
        if (of.until && *of.until <= now) {
            end(of, now);
            over.push_back(w);
        }
    }
    return over;
}

std::vector<const worker*> outlier_detector::use(const outlier_settings& settings, time_point now)
{
    settings_ = settings;
    std::vector<const worker*> over;
    if (is_off()) {
        for (auto& [w, of] : records_) {
            if (of.until) {
                end(of, now);
                over.push_back(w);
            }
        }
        records_.clear();
    }
    return over;
}

void outlier_detector::forget(const worker& w)
{
    if (const auto found = records_.find(&w); found != records_.end()) {
        ejected_ -= found->second.until ? 1 : 0;
        records_.erase(found);
    }
}

std::size_t outlier_detector::most_ejected(std::size_t workers) const
{
    return std::max<std::size_t>(1, workers * settings_.max_ejected / 100);
}

std::uint32_t outlier_detector::ejections_left(const record& of, time_point now) const
{
    const auto forgotten = (now - of.ended) / settings_.ejection_time;
    return forgotten < of.ejections ? of.ejections - static_cast<std::uint32_t>(std::max<std::int64_t>(forgotten, 0))
                                    : 0;
}

void outlier_detector::end(record& of, time_point now)
{
    of.until.reset();
    of.ended = now;
    of.failures = 0;
    --ejected_;
}

}  // namespace buildkit_lb::balancer
