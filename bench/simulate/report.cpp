#include "simulation/report.hpp"

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <ostream>
#include <sstream>
#include <string>

namespace buildkit_lb::simulation {
namespace {

std::string number(double value, int digits = 1)
{
    std::ostringstream text;
    text << std::fixed << std::setprecision(digits) << value;
    return text.str();
}

std::string percent(double share, int digits = 1)
{
    return number(share * 100, digits) + " %";
}

using row = std::vector<std::string>;

/// A Markdown table whose source is readable too; the first row is its head.
void table(std::ostream& out, const std::vector<row>& rows)
{
    std::vector<std::size_t> widths(rows.front().size());
    for (const auto& r : rows) {
        for (std::size_t c = 0; c < r.size(); ++c) {
            widths[c] = std::max(widths[c], r[c].size());
        }
    }
    for (std::size_t n = 0; n < rows.size(); ++n) {
        for (std::size_t c = 0; c < widths.size(); ++c) {
            out << (c == 0 ? "| " : " | ") << std::left << std::setw(static_cast<int>(widths[c])) << rows[n][c];
        }
        out << " |\n";
        if (n == 0) {
            for (const std::size_t width : widths) {
                out << "| " << std::string(width, '-') << ' ';
            }
            out << "|\n";
        }
    }
}

}  // namespace

void print(std::ostream& out, const report& r)
{
    out << r.of.builds << " builds of " << r.of.workers * r.of.projects_per_worker << " projects in "
        << number(r.span / 86400) << " days on " << r.of.workers << " workers of " << r.of.max_builds
        << " builds; ideal: " << percent(r.best.warm_share) << " warm, " << number(r.best.mean_time)
        << " s a build\n\n";
    std::vector<row> rows{{"policy", "warm", "of ideal", "build mean", "p95", "wait mean", "p95", "p99", "waited",
                           "spread", "busiest", "rejected", "restarted", "took"}};
    for (const auto& one : r.results) {
        rows.push_back({one.policy, percent(one.warm_share), percent(one.warm_share / r.best.warm_share),
                        number(one.mean_time) + " s", number(one.p95_time) + " s", number(one.mean_wait) + " s",
                        number(one.p95_wait) + " s", number(one.p99_wait) + " s", percent(one.waited_share),
                        number(one.spread, 2), number(one.busiest, 2), std::to_string(one.rejected),
                        std::to_string(one.restarted), number(one.seconds) + " s"});
    }
    table(out, rows);
    rows = {{"keys moved", "at", "workers", "running pool", "empty memory", "bound", "load of the added"}};
    for (const auto& one : r.results) {
        for (const auto& event : one.scaled) {
            rows.push_back({one.policy, event.what, std::to_string(event.workers),
                            std::isnan(event.moved) ? "-" : percent(event.moved, 2),
                            percent(event.moved_without_memory, 2), percent(event.bound(), 2),
                            event.busy_after > 0 ? number(event.busy_after, 2) : "-"});
        }
    }
    if (rows.size() > 1) {
        out << '\n';
        table(out, rows);
    }
    out << '\n';
}

void write_csv(std::ostream& out, const report& r, bool header)
{
    if (header) {
        out << "workers,builds,projects,load,load_factor,spill_after,cache_gigabytes,zipf,span,policy,warm_share,"
               "ideal_warm_share,mean_time,ideal_mean_time,p95_time,mean_wait,p95_wait,p99_wait,waited_share,spread,"
               "busiest,rejected,restarted,moved,moved_without_memory,seconds\n";
    }
    for (const auto& one : r.results) {
        const bool scaled = !one.scaled.empty();
        out << r.of.workers << ',' << r.of.builds << ',' << r.of.workers * r.of.projects_per_worker << ',' << r.of.load
            << ',' << r.of.load_factor << ',' << r.of.spill_after << ',' << r.of.cache_gigabytes << ',' << r.of.zipf
            << ',' << r.span << ',' << one.policy << ',' << one.warm_share << ',' << r.best.warm_share << ','
            << one.mean_time << ',' << r.best.mean_time << ',' << one.p95_time << ',' << one.mean_wait << ','
            << one.p95_wait << ',' << one.p99_wait << ',' << one.waited_share << ',' << one.spread << ',' << one.busiest
            << ',' << one.rejected << ',' << one.restarted << ',' << (scaled ? one.scaled.front().moved : 0) << ','
            << (scaled ? one.scaled.front().moved_without_memory : 0) << ',' << one.seconds << '\n';
    }
}

void write_hours(std::ostream& out, const report& r)
{
    out << "policy,hour,builds,warm_share,mean_time,mean_wait,longest_wait\n";
    for (const auto& one : r.results) {
        for (std::size_t n = 0; n < one.hours.size(); ++n) {
            const auto& h = one.hours[n];
            const double builds = h.builds == 0 ? 1 : static_cast<double>(h.builds);
            out << one.policy << ',' << n << ',' << h.builds << ',' << static_cast<double>(h.warm) / builds << ','
                << h.time / builds << ',' << h.wait / builds << ',' << h.longest_wait << '\n';
        }
    }
}

}  // namespace buildkit_lb::simulation
