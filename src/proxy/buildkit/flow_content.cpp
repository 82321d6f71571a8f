#include <string>
#include <utility>

#include "buildkit/content.hpp"
#include "buildkit/wire/content.pb.h"
#include "proxy/buildkit/build_wait.hpp"
#include "proxy/buildkit/connection.hpp"
#include "proxy/buildkit/flows.hpp"
#include "proxy/buildkit/gather.hpp"

namespace buildkit_lb::proxy {

namespace asio = boost::asio;
using buildkit::grpc_code;

namespace {

constexpr std::string_view info_path = "/containerd.services.content.v1.Content/Info";

/// The first worker that says it has the content; nullptr with what the others said.
asio::awaitable<std::shared_ptr<balancer::worker>> find_content(call_ptr c, std::string digest, pool_failures& failures)
{
    auto& service = c->connection().service();
    wire::content::InfoRequest question;
    question.set_digest(digest);
    pool_call asked{c->connection(), c->method().label, own_request(c->headers(), info_path),
                    question.SerializeAsString(), service.pool_call_timeout};
    asked.ask(askable_workers(*service.shared.pool.workers->snapshot()));
    while (auto* w = co_await asked.next()) {
        if (w->take()) {
            service.shared.digests.learn(digest, w->worker);
            co_return w->worker;
        }
        failures.note(*w);
    }
    co_return nullptr;
}

/// As a worker would answer.
void answer_from(const std::string& kept, call& c, const buildkit::content_request& asked)
{
    if (c.method().kind == buildkit::method::content_info) {
        c.answer(buildkit::content_info_answer(asked.digest, kept.size()));
        return;
    }
    if (asked.offset < 0 || asked.size < 0 || std::cmp_greater(asked.offset, kept.size())) {
        c.fail(grpc_code::out_of_range, "read past object length " + std::to_string(kept.size()) + " bytes");
        return;
    }
    const auto part = std::string_view{kept}.substr(static_cast<std::size_t>(asked.offset));
    const auto length = asked.size == 0 ? part.size() : static_cast<std::size_t>(asked.size);
    c.answer(buildkit::content_read_answer(asked.offset, part.substr(0, length)));
}

}  // namespace

asio::awaitable<void> flow_content(call_ptr c)
{
    auto message = co_await c->first_message();
    if (!message) {
        co_return;
    }
    const auto asked = buildkit::parse_content_request(*message);
    if (!asked || asked->digest.find(':') == std::string::npos) {
        co_await flow_any(c);
        co_return;
    }
    if (const auto* kept = c->connection().kept().find(asked->digest)) {
        answer_from(*kept, *c, *asked);
        co_return;
    }
    auto& shared = c->connection().service().shared;
    const auto remembered = shared.digests.find(asked->digest);
    auto where = remembered;
    pool_failures failures;
    if (!where || !can_be_asked(*shared.pool.workers->snapshot(), *where)) {
        // Others may have the same content. If not: a worker that has left the pool since, or is said to be down, may
        // answer all the same, and the build whose record it is has only just ended.
        where = co_await find_content(c, asked->digest, failures);
        where = where ? where : remembered;
    }
    if (where) {
        co_await relay_to_worker(c, where);
    } else if (failures.all.empty()) {
        co_await flow_any(c);  // which says why there is nobody to ask
    } else {
        c->end(failures.for_all(shared.pool.workers->name()));
    }
}

}  // namespace buildkit_lb::proxy
