#include "health/ejection_report.hpp"

#include <chrono>
#include <utility>

#include "core/log.hpp"

namespace buildkit_lb::health {

balancer::pool::ejection_observer ejection_report(std::string pool, metrics::instruments& instruments)
{
    return [pool = std::move(pool), &instruments](const balancer::worker& w, const balancer::ejection* made,
                                                  const std::string& why) {
        if (made == nullptr) {
            log::info("worker is not ejected any more", {{"pool", pool}, {"worker", w.name()}});
            return;
        }
        const auto reason = to_string(made->fault);
        instruments.worker_ejected(pool, w.name(), reason);
        const auto seconds = std::chrono::duration<double>(made->lasts).count();
        log::warn("worker is ejected", {{"pool", pool},
                                        {"worker", w.name()},
                                        {"reason", reason},
                                        {"failures", made->failures},
                                        {"ejections", made->number},
                                        {"seconds", seconds},
                                        {"error", why}});
    };
}

}  // namespace buildkit_lb::health
