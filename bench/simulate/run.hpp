#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <queue>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "balancer/pool.hpp"
#include "simulation/machine.hpp"
#include "simulation/simulation.hpp"

namespace buildkit_lb::simulation {

constexpr double never = std::numeric_limits<double>::infinity();

/// The balancer's clock at so many seconds of virtual time.
inline time_point at(double seconds)
{
    return time_point{std::chrono::duration_cast<duration>(std::chrono::duration<double>{seconds})};
}

/// The affinity key of a project.
std::string key_of(std::uint32_t project);

/// A pool as the settings say, with that many workers, all of which are unknown yet.
std::shared_ptr<balancer::pool> make_pool(const settings& of, std::size_t workers, std::string_view policy);

/// One workload through one pool.
class run {
public:
    run(const settings& of, const workload& load, std::string_view policy);
    result go();

private:
    /// A build that was begun and has not ended, by its number in the workload.
    struct active {
        balancer::lease held;
        std::size_t machine = 0;
        std::uint32_t version = 0;
        warmth how = warmth::cold;
        double begun = 0;
    };
    /// Something that happens to workers at a time.
    struct change {
        double time = 0;
        std::string what;
        std::vector<std::size_t> workers;
        bool up = false;
    };
    struct ending {
        double time = 0;
        std::size_t machine = 0;
        std::uint64_t stamp = 0;  // of the machine, when this was true
        bool operator>(const ending& other) const { return time > other.time; }
    };

    void plan_events();
    void set_up(std::size_t worker, bool up);
    void admit(std::uint32_t id, bool ahead);
    void settle();
    void begin(std::uint32_t id, balancer::pick chosen);
    void end(std::size_t on);
    void lose(std::size_t on);
    void expect_end(std::size_t on);
    void apply(const change& c);
    std::vector<std::size_t> homes();
    double moved_without_memory(const change& c) const;
    void sample();
    hour& this_hour() { return out_.hours[static_cast<std::size_t>(now_ / 3600)]; }

    const settings& settings_;
    const workload& load_;
    result out_;
    std::shared_ptr<balancer::pool> pool_;
    std::vector<std::shared_ptr<balancer::worker>> workers_;
    std::unordered_map<const balancer::worker*, std::size_t> index_;
    std::vector<bool> up_;
    std::vector<machine> machines_;
    std::vector<std::uint64_t> stamps_;
    std::vector<std::string> keys_;
    std::priority_queue<ending, std::vector<ending>, std::greater<>> endings_;
    std::unordered_map<std::uint32_t, active> running_;
    std::vector<double> first_begun_;                                  // of builds, once they have a worker
    std::vector<std::pair<std::uint32_t, balancer::admission>> told_;  // what the queue said and nobody has acted on
    std::vector<change> changes_;
    double now_ = 0;
    std::vector<float> times_;
    std::vector<float> waits_;
    std::size_t warm_ = 0;
    std::size_t waited_ = 0;
    std::vector<std::size_t> begun_on_;
    double spread_ = 0;
    std::size_t samples_ = 0;
    // For the latest scale event with workers that were added: what each got before the day began.
    struct watched {
        std::size_t event = 0;
        std::vector<std::size_t> added;
        std::vector<std::size_t> before;
        double until = 0;
    };
    std::vector<watched> watched_;
};

}  // namespace buildkit_lb::simulation
