#include <algorithm>
#include <map>

#include "buildkit/oldest_worker.hpp"
#include "buildkit/pool_answers.hpp"
#include "buildkit/wire/control.pb.h"
#include "buildkit/wire_reader.hpp"
#include "proxy/buildkit/connection.hpp"
#include "proxy/buildkit/flows.hpp"
#include "proxy/buildkit/gather.hpp"

// Calls about the whole pool, but for its history (flows_history.cpp).

namespace buildkit_lb::proxy {

namespace asio = boost::asio;
using buildkit::grpc_code;
using worker_ptr = std::shared_ptr<balancer::worker>;

namespace {

// BuildKit's programs take messages of 16 MiB; something has to be left for their own frames.
constexpr std::size_t max_disk_usage = std::size_t{15} << 20;

/// What workers said of themselves that are down now: what an empty pool that builds may wait for is taken to be.
std::vector<std::shared_ptr<const balancer::worker_facts>> remembered_facts(const balancer::pool_snapshot& pool)
{
    std::vector<std::shared_ptr<const balancer::worker_facts>> facts;
    for (const auto& view : pool.workers) {
        if (view.facts) {
            facts.push_back(view.facts);
        }
    }
    return facts;
}

/// The pool has no worker now, and its clients are to wait for one: they must not be told that nobody is there.
bool waits_for_workers(const balancer::pool& pool, const balancer::pool_snapshot& now)
{
    return pool.queue().wait_when_empty && askable_workers(now).empty();
}

/// What every worker that is not down has said of itself; empty where one has not yet.
std::vector<std::shared_ptr<const balancer::worker_facts>> all_facts(const balancer::pool_snapshot& pool)
{
    std::vector<std::shared_ptr<const balancer::worker_facts>> facts;
    for (const auto& view : pool.workers) {
        if (view.health == balancer::worker_health::down) {
            continue;
        }
        if (!view.facts) {
            return {};
        }
        facts.push_back(view.facts);
    }
    return facts;
}

bool has_filter(std::string_view list_request)
{
    buildkit::wire_reader fields{list_request};
    while (fields.next()) {
        if (fields.number() == wire::control::ListWorkersRequest::kFilterFieldNumber) {
            return true;
        }
    }
    return false;
}

/// The answers of several workers in the order of the configuration, whoever was first.
struct ordered_answers {
    explicit ordered_answers(const std::vector<worker_ptr>& workers) : order{workers}, answers(workers.size()) {}

    void put(const worker_ptr& from, std::string answer)
    {
        const auto at = std::find(order.begin(), order.end(), from);
        answers[static_cast<std::size_t>(at - order.begin())] = std::move(answer);
    }

    const std::vector<worker_ptr>& order;
    std::vector<std::optional<std::string>> answers;
};

/// Asks all workers of `got` what the client asks, each for one answer.
asio::awaitable<pool_failures> ask_all(call_ptr c, std::string message, ordered_answers& got)
{
    pool_call asked{c->connection(), c->method().label, own_request(c->headers()), std::move(message),
                    c->connection().service().pool_call_timeout};
    asked.ask(got.order);
    const auto put = [&got](const asked_worker& from, std::string answer) { got.put(from.worker, std::move(answer)); };
    co_return co_await gather(asked, put);
}

std::string describe(const worker_ptr& w, const buildkit::disk_usage_totals& usage)
{
    return w->name() + ": " + std::to_string(usage.records) + " records, " + std::to_string(usage.bytes) + " bytes";
}

}  // namespace

asio::awaitable<void> flow_list_workers(call_ptr c)
{
    auto message = co_await c->first_message();
    if (!message) {
        co_return;
    }
    auto& service = c->connection().service();
    auto& pool = *service.shared.pool.workers;
    const auto now = balancer::narrowed(pool.snapshot(), service.require);
    const bool filtered = has_filter(*message);
    const bool empty = waits_for_workers(pool, *now);
    std::vector<std::string> records;
    if (!filtered || empty) {
        for (const auto& facts : empty ? remembered_facts(*now) : all_facts(*now)) {
            records.insert(records.end(), facts->records.begin(), facts->records.end());
        }
        if (records.empty() && empty) {
            records.push_back(buildkit::unseen_worker_record());
        }
        if (!records.empty()) {
            c->answer(buildkit::merge_worker_records(records, pool.platforms().default_platform));
            co_return;
        }
    }
    const auto workers = askable_workers(*now);
    if (fail_without_workers(*c, workers)) {
        co_return;
    }
    ordered_answers got{workers};
    const auto failures = co_await ask_all(c, std::move(*message), got);
    for (const auto& answer : got.answers) {
        auto some = answer ? buildkit::worker_records(*answer) : std::nullopt;
        if (some) {
            records.insert(records.end(), std::make_move_iterator(some->begin()), std::make_move_iterator(some->end()));
        }
    }
    if (failures.succeeded == 0) {
        c->end(failures.for_all(pool.name()));
    } else if (records.empty() && !filtered) {
        // Clients may crash over an empty list.
        c->fail(grpc_code::unavailable, "buildkit-lb: no worker of pool " + pool.name() + " has told of itself");
    } else {
        log_partial(failures, pool.name(), c->method().label);
        c->answer(buildkit::merge_worker_records(records, pool.platforms().default_platform));
    }
}

asio::awaitable<void> flow_info(call_ptr c)
{
    auto message = co_await c->first_message();
    if (!message) {
        co_return;
    }
    auto& pool = *c->connection().service().shared.pool.workers;
    const auto now = pool.snapshot();
    const bool empty = waits_for_workers(pool, *now);
    const auto facts = empty ? remembered_facts(*now) : all_facts(*now);
    std::vector<std::string_view> infos;
    for (const auto& f : facts) {
        if (!f->info.empty()) {
            infos.push_back(f->info);
        }
    }
    if (!infos.empty()) {
        c->answer(infos[buildkit::oldest_info(infos)]);
        co_return;
    }
    if (!facts.empty() || empty) {
        // Clients take that for a daemon that is up.
        c->fail(grpc_code::unimplemented, "no worker of pool " + pool.name() + " knows Info");
        co_return;
    }
    const auto workers = askable_workers(*now);
    if (fail_without_workers(*c, workers)) {
        co_return;
    }
    ordered_answers got{workers};
    const auto failures = co_await ask_all(c, std::move(*message), got);
    for (const auto& answer : got.answers) {
        if (answer) {
            infos.push_back(*answer);
        }
    }
    if (infos.empty()) {
        c->end(failures.for_all(pool.name()));
    } else {
        c->answer(infos[buildkit::oldest_info(infos)]);
    }
}

asio::awaitable<void> flow_disk_usage(call_ptr c)
{
    auto message = co_await c->first_message();
    if (!message) {
        co_return;
    }
    auto& service = c->connection().service();
    auto& pool = *service.shared.pool.workers;
    const auto workers = askable_workers(*pool.snapshot());
    if (fail_without_workers(*c, workers)) {
        co_return;
    }
    pool_call asked{c->connection(), c->method().label, own_request(c->headers()), std::move(*message),
                    service.pool_call_timeout};
    asked.ask(workers);
    ordered_answers got{workers};
    std::size_t size = 0;
    std::string totals;
    const auto failures = co_await gather(asked, [&](const asked_worker& from, std::string answer) {
        totals += (totals.empty() ? "" : "; ") + describe(from.worker, buildkit::total_of(answer));
        size += answer.size();
        if (size <= max_disk_usage) {
            got.put(from.worker, std::move(answer));
        } else {
            got.answers.assign(got.answers.size(), std::nullopt);  // it will not be sent
        }
    });
    if (failures.succeeded == 0) {
        c->end(failures.for_all(pool.name()));
        co_return;
    }
    log_partial(failures, pool.name(), c->method().label);
    if (size > max_disk_usage) {
        c->fail(grpc_code::resource_exhausted, "buildkit-lb: the disk usage of pool " + pool.name() +
                                                   " is too long for one message; ask with a filter, or the workers "
                                                   "one by one. " +
                                                   totals);
        co_return;
    }
    std::string merged;
    for (const auto& answer : got.answers) {
        merged += answer.value_or(std::string{});
    }
    c->answer(merged);
}

asio::awaitable<void> flow_prune(call_ptr c)
{
    auto message = co_await c->first_message();
    if (!message) {
        co_return;
    }
    auto& pool = *c->connection().service().shared.pool.workers;
    const auto workers = askable_workers(*pool.snapshot());
    if (fail_without_workers(*c, workers)) {
        co_return;
    }
    pool_call asked{c->connection(), c->method().label, own_request(c->headers()), std::move(*message),
                    duration::max()};
    asked.ask(workers);
    pool_failures failures;
    while (auto* w = co_await asked.next()) {
        if (auto removed = w->take()) {
            co_await c->room_to_tell();
            c->tell(buildkit::framed(*removed));
        } else {
            failures.note(*w);
        }
    }
    if (failures.all.empty()) {
        c->end({grpc_code::ok, {}, {}});
        co_return;
    }
    std::vector<buildkit::grpc_ending> endings;
    for (const auto& one : failures.all) {
        endings.push_back(one.how);
    }
    // Without the worker's details: they would hide the names of the workers, which the client needs here.
    c->end({buildkit::most_telling(endings).code, "buildkit-lb: " + failures.text(), {}});
}

}  // namespace buildkit_lb::proxy
