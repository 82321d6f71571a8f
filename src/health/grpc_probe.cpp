#include <boost/asio/this_coro.hpp>

#include "health/kept_probes.hpp"
#include "health/unary_call.hpp"
#include "health/worker_answers.hpp"

// health_check.type grpc: the standard health service (grpc.health.v1), which buildkitd has too, and what may stand in
// front of it. It tells whether a worker serves, and nothing of what it is.

namespace buildkit_lb::health {

namespace asio = boost::asio;
using buildkit::grpc_code;

namespace {

constexpr auto check_path = "/grpc.health.v1.Health/Check";

/// What is kept between the probes of one worker.
class health_service_probe {
public:
    health_service_probe(const balancer::worker& w, std::unique_ptr<worker_channel> to)
        : worker_{w}, connection_{std::move(to)}
    {
    }

    asio::awaitable<probe_result> run(duration timeout);

private:
    probe_result judge(const unary_call::outcome& ended) const;

    const balancer::worker& worker_;
    const std::unique_ptr<worker_channel> connection_;
};

asio::awaitable<probe_result> health_service_probe::run(duration timeout)
{
    const auto executor = co_await asio::this_coro::executor;
    // An empty request asks for the whole server.
    unary_call check{executor, connection_->get(timeout), check_path, {}, clock::now() + timeout};
    const auto ended = co_await check.finished();
    probe_result found = judge(ended);
    if (!found) {
        connection_->failed();
    }
    co_return found;
}

probe_result health_service_probe::judge(const unary_call::outcome& ended) const
{
    if (ended.canceled) {
        return failure{errc::canceled, failure_source::internal, false, "canceled"};
    }
    if (ended.code != grpc_code::ok) {
        return call_failure(worker_.address(), "Health/Check", ended.code, ended.message, ended.connected);
    }
    auto serves = read_serving(worker_.address(), ended.response);
    return serves ? probe_result{} : probe_result{serves.error()};
}

}  // namespace

probe_maker grpc_probes(std::shared_ptr<const tls::client_context> tls)
{
    return make_kept_probes<health_service_probe>(std::move(tls));
}

}  // namespace buildkit_lb::health
