// Runs a simulated pool under each policy and says what came of it; bench/README.md tells how to run and read it.

#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>

#include "simulation/report.hpp"

using namespace buildkit_lb::simulation;

int main(int argc, char** argv)
{
    report made;
    settings& s = made.of;
    std::vector<std::string> policies{"round-robin", "least-active-builds", "cache-affinity"};
    std::string csv;
    std::string hours;
    CLI::App app{"Simulates a pool of workers with the balancer's own pool, queue and policies, in virtual time."};
    app.option_defaults()->always_capture_default();
    app.add_option("--policy", policies, "policies to try, by their names in the configuration")->delimiter(',');
    app.add_option("--workers", s.workers, "workers at the beginning")->check(CLI::Range(1, 100'000));
    app.add_option("--builds", s.builds, "builds in all")->check(CLI::PositiveNumber);
    app.add_option("--seed", s.seed, "of everything random");
    app.add_option("--projects-per-worker", s.projects_per_worker)->check(CLI::PositiveNumber);
    app.add_option("--zipf", s.zipf, "exponent of the law of popularity");
    app.add_option("--cold-seconds", s.cold_seconds, "median work of a build without a cache");
    app.add_option("--project-gigabytes", s.project_gigabytes, "median size of a project in a cache");
    app.add_option("--changes-every", s.changes_every, "mean seconds between changes of a project's dependencies");
    app.add_option("--cache-gigabytes", s.cache_gigabytes, "cache of a worker");
    app.add_option("--max-builds", s.max_builds, "cap of a worker; 0: none");
    app.add_option("--full-speed", s.full_speed, "builds a worker runs at full speed")->check(CLI::PositiveNumber);
    app.add_option("--load", s.load, "mean use of the pool's speed if all builds were warm")
        ->check(CLI::Range(0.001, 1.));
    app.add_option("--day-amplitude", s.day_amplitude, "by how much arrivals vary within a day")
        ->check(CLI::Range(0., 1.));
    app.add_option("--events", s.events, "add one worker, lose one for an hour, add a tenth");
    app.add_option("--load-factor", s.load_factor, "affinity.load_factor")->check(CLI::Range(1., 100.));
    app.add_option("--spill-after", s.spill_after, "affinity.spill_after");
    app.add_option("--memory", s.memory, "affinity.memory");
    app.add_option("--queue-length", s.queue_length, "queue.max_length");
    app.add_option("--queue-timeout", s.queue_timeout, "queue.timeout in seconds");
    app.add_option("--csv", csv, "append one line a policy to this file");
    app.add_option("--hours", hours, "write one line an hour and policy to this file");
    CLI11_PARSE(app, argc, argv);

    const workload load = make_workload(s);
    made.span = load.span;
    made.best = ideal_of(load);
    for (const auto& policy : policies) {
        try {
            made.results.push_back(simulate(s, load, policy));
        } catch (const std::invalid_argument& e) {
            std::cerr << "simulate: " << e.what() << '\n';
            return 2;
        }
    }
    print(std::cout, made);
    if (!csv.empty()) {
        const bool is_new = !std::ifstream{csv}.good();
        std::ofstream out{csv, std::ios::app};
        write_csv(out, made, is_new);
    }
    if (!hours.empty()) {
        std::ofstream out{hours};
        write_hours(out, made);
    }
    return 0;
}
