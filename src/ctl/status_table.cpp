#include "ctl/status_table.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

namespace buildkit_lb::ctl {
namespace {

using nlohmann::ordered_json;

class table {
public:
    explicit table(std::vector<std::string> header) { rows_.push_back(std::move(header)); }

    void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }

    std::string text() const
    {
        std::string out;
        for (const auto& row : rows_) {
            std::string line;
            for (std::size_t i = 0; i < row.size(); ++i) {
                line += row[i];
                if (i + 1 < row.size()) {
                    line.append(width_of(i) - row[i].size() + 2, ' ');
                }
            }
            line.erase(line.find_last_not_of(' ') + 1);
            out += line + "\n";
        }
        return out;
    }

private:
    std::size_t width_of(std::size_t column) const
    {
        std::size_t widest = 0;
        for (const auto& row : rows_) {
            widest = std::max(widest, row[column].size());
        }
        return widest;
    }

    std::vector<std::vector<std::string>> rows_;
};

std::string text_of(const ordered_json& of, const char* key)
{
    const std::string text = printable(of.value(key, ""));
    return text.empty() ? "-" : text;
}

std::string number_of(const ordered_json& of, const char* key)
{
    return std::to_string(of.value(key, std::uint64_t{0}));
}

/// `4` or, of a worker with a cap, `4/8`.
std::string load_of(const ordered_json& worker)
{
    const auto cap = worker.value("max_builds", std::uint64_t{0});
    return number_of(worker, "active_builds") + (cap == 0 ? "" : "/" + std::to_string(cap));
}

/// True when it is marked as `what`, and not down: that says more.
bool is_up_but(const ordered_json& worker, const char* what)
{
    return worker.value(what, false) && worker.value("health", "") != "down";
}

std::string health_of(const ordered_json& worker)
{
    if (is_up_but(worker, "going_away")) {
        return "going away";
    }
    return is_up_but(worker, "ejected") ? "ejected" : text_of(worker, "health");
}

std::string error_of(const ordered_json& worker)
{
    return text_of(worker, is_up_but(worker, "ejected") ? "ejected_for" : "last_error");
}

}  // namespace

std::string printable(std::string_view text)
{
    std::string out{text};
    std::replace_if(out.begin(), out.end(), [](unsigned char c) { return c < ' ' || c == 0x7f; }, ' ');
    return out;
}

std::string status_table(const ordered_json& all)
{
    table pools{{"POOL", "POLICY", "WORKERS", "UP", "DRAINING", "BUILDS", "QUEUED"}};
    for (const auto& p : all.at("pools")) {
        pools.add({text_of(p, "name"), text_of(p, "policy"), number_of(p, "workers"), number_of(p, "up"),
                   number_of(p, "draining"), number_of(p, "active_builds"), number_of(p, "queue_length")});
    }
    table workers{{"POOL", "WORKER", "HEALTH", "DRAINING", "BUILDS", "INTERNAL", "VERSION", "ADDRESS", "LAST ERROR"}};
    for (const auto& w : all.at("workers")) {
        workers.add({text_of(w, "pool"), text_of(w, "name"), health_of(w), w.value("draining", false) ? "yes" : "no",
                     load_of(w), number_of(w, "internal_builds"), text_of(w, "version"), text_of(w, "address"),
                     error_of(w)});
    }
    return pools.text() + "\n" + workers.text();
}

}  // namespace buildkit_lb::ctl
