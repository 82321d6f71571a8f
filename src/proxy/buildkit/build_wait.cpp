#include "proxy/buildkit/build_wait.hpp"

#include "proxy/buildkit/attach_sessions.hpp"
#include "proxy/buildkit/connection.hpp"

namespace buildkit_lb::proxy {

namespace asio = boost::asio;
using balancer::placement;
using buildkit::grpc_code;

build_wait::build_wait(call& of, const std::string& ref)
    : placement_{of.connection().service().shared.placement}, outcome_{of.connection().executor()}
{
    id_ = placement_.wait_for(ref, of.held_bytes(), clock::now(), outcome_.setter());
    if (id_ == placement::no_wait) {
        return;  // it is known already
    }
    auto& client = of.connection();
    if (client.held_calls >= client.service().per_client.held_calls) {
        placement_.cancel_wait(id_);
        outcome_.setter()({placement::outcome::kind::refused, nullptr, too_many_held_calls(client.service())});
        return;
    }
    held_.emplace(client.held_calls);
}

asio::awaitable<std::optional<placement::outcome>> build_wait::wait(time_point deadline)
{
    auto outcome = co_await outcome_.wait(deadline);
    if (outcome) {
        held_.reset();
    }
    co_return outcome;
}

asio::awaitable<void> relay_to_worker(call_ptr c, std::shared_ptr<balancer::worker> where)
{
    result<link_table::link_ptr> found = co_await c->connection().links().get(where);
    if (found) {
        c->relay_to(*found);
    } else {
        const auto code = c->code_when_lost.value_or(grpc_code::unavailable);
        c->fail(code, code == grpc_code::ok
                          ? std::string{}
                          : "buildkit-lb: worker " + where->name() + " can't be reached: " + found.error().detail);
    }
}

asio::awaitable<void> relay_by(call_ptr c, placement::outcome where)
{
    using kind = placement::outcome::kind;
    switch (where.what) {
        case kind::placed:
        case kind::finished: co_await relay_to_worker(c, where.where); break;
        case kind::unknown: co_await flow_any(c); break;
        case kind::refused:
            c->fail(grpc_code::resource_exhausted, where.why.detail.empty()
                                                       ? "buildkit-lb: too many calls wait for builds that have not "
                                                         "begun (limits.held_calls, limits.held_bytes)"
                                                       : where.why.detail);
            break;
        case kind::failed:
            if (c->method().kind == buildkit::method::control_status) {
                c->fail(grpc_code::ok, {});
            } else {
                c->fail(grpc_code_of(where.why), where.why.detail);
            }
            break;
    }
}

}  // namespace buildkit_lb::proxy
