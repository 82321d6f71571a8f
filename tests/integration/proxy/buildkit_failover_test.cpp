#include <boost/asio/post.hpp>
#include <catch2/catch.hpp>

#include "buildkit/wire/control.pb.h"
#include "buildkit/wire/gateway.pb.h"
#include "support/fake_buildkit.hpp"

using namespace buildkit_lb;
using namespace buildkit_lb::test;
using namespace std::chrono_literals;
using buildkit::grpc_code;
using wire::control::StatusResponse;

namespace {

constexpr std::string_view read_path = "/moby.buildkit.v1.frontend.LLBBridge/ReadFile";
constexpr std::string_view container_path = "/moby.buildkit.v1.frontend.LLBBridge/NewContainer";
constexpr std::string_view health_path = "/grpc.health.v1.Health/Check";
constexpr std::string_view upload_path = "/moby.upload.v1.Upload/Pull";

balancer_settings with_failover(std::uint32_t attempts = 2)
{
    balancer_settings settings;
    settings.failover.attempts = attempts;
    return settings;
}

std::string step(const std::string& digest, const std::string& name, bool completed)
{
    StatusResponse response;
    auto& v = *response.add_vertexes();
    v.set_digest(digest);
    v.set_name(name);
    v.mutable_started()->set_seconds(1'700'000'000);
    if (completed) {
        v.mutable_completed()->set_seconds(1'700'000'001);
    }
    return response.SerializeAsString();
}

std::string answer_with_ref(const std::string& id)
{
    wire::gateway::SolveResponse response;
    response.mutable_result()->mutable_ref()->set_id(id);
    return response.SerializeAsString();
}

std::string ref_of_answer(const grpc_stream& answered)
{
    wire::gateway::SolveResponse response;
    REQUIRE(answered.messages.size() == 1);
    REQUIRE(response.ParseFromString(answered.messages[0]));
    return response.result().ref().id();
}

std::string read_of(const std::string& ref)
{
    wire::gateway::RefRequest request;
    request.set_ref(ref);
    return request.SerializeAsString();
}

std::string return_of(const std::string& ref)
{
    wire::gateway::ReturnRequest request;
    request.mutable_result()->mutable_ref()->set_id(ref);
    return request.SerializeAsString();
}

/// Plays a worker that builds: it gives refs of its own, knows no others, and answers Solve once it has got Return. It
/// dies at the n-th of the messages that it receives and sends.
class building_worker {
public:
    building_worker(buildkit_stage& stage, std::size_t index, std::size_t dies_at = 0)
        : stage_{stage}, self_{stage.workers[index]}, name_{"w" + std::to_string(index + 1)}, dies_at_{dies_at}
    {
        self_.on_call = [this](grpc_stream& s) { handle(s); };
    }

    bool died() const { return died_; }
    std::size_t messages() const { return count_; }

private:
    void handle(grpc_stream& s)
    {
        if (died_ || passes()) {
            return;
        }
        if (s.path() == solve_path) {
            solve_ = &s;
        } else if (s.path() == status_path) {
            status_ = &s;
            say([&] { s.send(step("run", "RUN on " + name_, false)); });
        } else if (s.path() == llb_solve_path) {
            say([&] { s.answer(answer_with_ref(name_ + "-ref" + std::to_string(++refs_))); });
        } else if (s.path() == read_path) {
            wire::gateway::RefRequest request;
            request.ParseFromString(s.messages.at(0));
            const bool mine = request.ref().starts_with(name_);
            say([&] { mine ? s.answer("file of " + name_) : s.finish(grpc_code::not_found, "no such ref"); });
        } else if (s.path() == llb_return_path) {
            wire::gateway::ReturnRequest request;
            request.ParseFromString(s.messages.at(0));
            const bool mine = request.result().ref().id().starts_with(name_);
            say([&] { mine ? s.answer("") : s.finish(grpc_code::not_found, "no such ref"); });
            returned_ = mine;
        }
        if (returned_ && solve_ != nullptr && status_ != nullptr && !finished_) {
            finished_ = true;
            say([&] { status_->send(step("run", "RUN on " + name_, true)); });
            say([&] { status_->finish(); });
            say([&] { solve_->answer("built by " + name_); });
        }
    }

    /// One message more; true when that is the last.
    bool passes()
    {
        if (++count_ == dies_at_) {
            died_ = true;
            // What was sent so far may arrive, or not.
            boost::asio::post(stage_.peers.context(), [this] { self_.cut(); });
        }
        return died_;
    }

    template <class Say>
    void say(Say message)
    {
        if (!died_) {
            message();
            passes();
        }
    }

    buildkit_stage& stage_;
    fake_worker& self_;
    const std::string name_;
    const std::size_t dies_at_;
    std::size_t count_ = 0;
    std::size_t refs_ = 0;
    bool died_ = false;
    bool returned_ = false;
    bool finished_ = false;
    grpc_stream* solve_ = nullptr;
    grpc_stream* status_ = nullptr;
};

/// The names of the steps that a Status told, in order; those that were never completed are marked.
struct told_steps {
    std::vector<std::string> names;
    bool all_closed = true;
    bool any_error = false;
};

told_steps steps_of(const grpc_stream& status)
{
    told_steps told;
    std::map<std::string, bool> open;
    for (const auto& message : status.messages) {
        StatusResponse response;
        REQUIRE(response.ParseFromString(message));
        for (const auto& v : response.vertexes()) {
            told.names.push_back(v.name());
            told.any_error = told.any_error || v.has_error();
            open[v.digest()] = !v.has_completed();
        }
    }
    for (const auto& [digest, still] : open) {
        told.all_closed = told.all_closed && !still;
    }
    return told;
}

/// A client that builds: solves twice, reads a file of the first result, returns the second.
struct building_client {
    building_client(buildkit_stage& s, const std::string& name) : stage{s}, client{s.client()}, ref{name}
    {
        uuid = session_id(static_cast<int>(s.clients.size()));
        session = &client.session(uuid);
        status = &client.status(ref);
        solve = &client.solve({ref, uuid});
    }

    /// Its bridge calls, one after the other. Stops when the build has ended otherwise.
    void run()
    {
        auto& first = client.bridge(llb_solve_path, ref, bridge_solve_naming(uuid));
        if (!answered(first)) {
            return;
        }
        auto& read = client.bridge(read_path, ref, read_of(ref_of_answer(first)));
        auto& second = client.bridge(llb_solve_path, ref, bridge_solve_naming(uuid));
        if (!answered(read) || !answered(second)) {
            return;
        }
        file = read.messages.empty() ? "" : read.messages[0];
        answered(client.bridge(llb_return_path, ref, return_of(ref_of_answer(second))));
        REQUIRE(stage.until([&] { return solve->closed && status->closed; }));
    }

    bool answered(grpc_stream& call)
    {
        REQUIRE(stage.until([&] { return call.closed; }));
        INFO(call.status_message());
        CHECK(call.status() == grpc_code::ok);
        return call.status() == grpc_code::ok;
    }

    void leave()
    {
        session->outer().end();
        CHECK(stage.until([&] { return stage.nothing_left(); }));
    }

    buildkit_stage& stage;
    fake_client& client;
    const std::string ref;
    std::string uuid;
    tunnel_end* session;
    grpc_stream* status;
    grpc_stream* solve;
    std::string file;
};

std::size_t count_of(const std::vector<std::string>& all, const std::string& one)
{
    return static_cast<std::size_t>(std::count(all.begin(), all.end(), one));
}

void check_result(const building_client& c, const std::string& by)
{
    INFO(c.solve->status_message());
    CHECK(c.solve->status() == grpc_code::ok);
    CHECK(c.solve->messages == std::vector<std::string>{"built by " + by});
    CHECK(c.status->status() == grpc_code::ok);
    const auto told = steps_of(*c.status);
    CHECK(told.all_closed);
    CHECK_FALSE(told.any_error);
    CHECK(told.names.back() == "RUN on " + by);
}

}  // namespace

TEST_CASE("a build survives its worker, whichever message that dies at")
{
    std::size_t messages = 0;
    bool died = true;
    for (std::size_t at = 1; died; ++at) {
        CAPTURE(at);
        buildkit_stage stage{2, with_failover()};
        building_worker first{stage, 0, at};
        const building_worker second{stage, 1};
        building_client c{stage, "build"};
        c.run();
        died = first.died();
        messages = first.messages();
        const auto told = steps_of(*c.status).names;
        const std::string line = "[buildkit-lb] w1 was lost; the build starts again on w2";
        if (died && c.solve->messages != std::vector<std::string>{"built by w1"}) {
            check_result(c, "w2");
            CHECK(count_of(told, line) == 1);
            const auto restarted = std::find(told.begin(), told.end(), line);
            CHECK(std::count(restarted, told.end(), "RUN on w1") == 0);
            CHECK_THAT(
                stage.lb->metrics().expose(),
                Catch::Contains("buildkit_lb_failovers_total{pool=\"default\",result=\"restarted\",worker=\"w1\"} 1"));
        } else {
            // It was lost after its last word.
            check_result(c, "w1");
            CHECK(count_of(told, line) == 0);
        }
        CHECK_THAT(c.file, Catch::StartsWith("file of w"));
        c.leave();
    }
    CHECK(messages == 14);
}

TEST_CASE("a build survives a second worker, whichever message that dies at")
{
    const std::size_t first_at = GENERATE(std::size_t{2}, std::size_t{8}, std::size_t{10});
    CAPTURE(first_at);
    bool died = true;
    for (std::size_t at = 1; died; ++at) {
        CAPTURE(at);
        buildkit_stage stage{3, with_failover()};
        const building_worker first{stage, 0, first_at};
        const building_worker second{stage, 1, at};
        const building_worker third{stage, 2};
        building_client c{stage, "build"};
        c.run();
        died = second.died();
        REQUIRE(first.died());
        const bool by_third = c.solve->messages == std::vector<std::string>{"built by w3"};
        CHECK((died || !by_third));
        check_result(c, by_third ? "w3" : "w2");
        const auto told = steps_of(*c.status).names;
        CHECK(count_of(told, "[buildkit-lb] w1 was lost; the build starts again on w2") == 1);
        CHECK(count_of(told, "[buildkit-lb] w2 was lost; the build starts again on w3") == (by_third ? 1 : 0));
        c.leave();
    }
}

TEST_CASE("a build that loses more workers than it may fails and names them all")
{
    buildkit_stage stage{3, with_failover(1)};
    const building_worker first{stage, 0, 4};
    const building_worker second{stage, 1, 4};
    building_client c{stage, "build"};
    auto& bridge = c.client.bridge(llb_solve_path, "build", bridge_solve_naming(c.uuid));
    std::vector<std::string> order;
    c.solve->on_all_closed = [&] { order.emplace_back("solve"); };
    bridge.on_all_closed = [&] { order.emplace_back("bridge"); };
    REQUIRE(stage.until([&] { return c.solve->closed && c.status->closed && bridge.closed; }));
    CHECK(c.solve->status() == grpc_code::unavailable);
    CHECK_THAT(c.solve->status_message(), Catch::Contains("buildkit-lb: worker w2 was lost") &&
                                              Catch::Contains("2 workers (w1, w2)") &&
                                              Catch::Contains("failover.attempts: 1"));
    CHECK(bridge.status_message() == c.solve->status_message());
    CHECK(order.front() == "solve");
    CHECK(c.status->status() == grpc_code::ok);
    CHECK(stage.workers[2].calls().empty());
    CHECK_THAT(stage.lb->metrics().expose(), Catch::Contains("result=\"exhausted\",worker=\"w2\"} 1"));
    c.leave();
}

TEST_CASE("a worker that cancels a build its client did not cancel is lost with it, and is not heard any more")
{
    buildkit_stage stage{2, with_failover()};
    auto& old = stage.workers[0];
    const building_worker second{stage, 1};
    building_client c{stage, "build"};
    auto& bridge = c.client.bridge(llb_solve_path, "build", bridge_solve_naming(c.uuid));
    REQUIRE(stage.until([&] { return old.call(solve_path) && old.call(status_path) && old.call(llb_solve_path); }));
    old.call(status_path)->send(step("run", "RUN on w1", false));
    REQUIRE(stage.until([&] { return steps_of(*c.status).names.size() == 2; }));

    const bool bridge_first = GENERATE(true, false);
    CAPTURE(bridge_first);
    // As v0.13 does on SIGTERM: whatever runs is cancelled, in any order, and sometimes the signal is given as the
    // cause.
    const auto [code, why] = GENERATE(
        std::pair{grpc_code::cancelled, std::string{"context canceled"}},
        std::pair{grpc_code::unknown, std::string{"failed to solve: got 1 SIGTERM/SIGINTs, forcing shutdown"}});
    CAPTURE(why);
    if (bridge_first) {
        old.call(llb_solve_path)->finish(code, why);
        CHECK(stage.peers.never([&] { return bridge.closed; }));
    }
    old.call(solve_path)->finish(code, why);
    // Late frames: the connection is still there.
    old.call(status_path)->send(step("late", "late step of w1", true));
    if (!bridge_first) {
        old.call(llb_solve_path)->answer(answer_with_ref("w1-late"));
    }

    REQUIRE(stage.until([&] { return bridge.closed; }));
    CHECK(bridge.status() == grpc_code::ok);
    CHECK(ref_of_answer(bridge) == "w2-ref1");
    CHECK(stage.until([&] { return old.call(status_path)->closed; }));
    CHECK(stage.lb->worker(0)->active_builds() == 0);
    CHECK(stage.lb->worker(1)->active_builds() == 1);
    c.run();
    check_result(c, "w2");
    CHECK(count_of(steps_of(*c.status).names, "late step of w1") == 0);
    c.leave();
}

TEST_CASE("a build that its client cancels does not start again")
{
    buildkit_stage stage{2, with_failover()};
    auto& worker = stage.workers[0];
    building_client c{stage, "build"};
    REQUIRE(stage.until([&] { return worker.call(solve_path) && worker.call(status_path); }));

    c.solve->reset(http2::error_code::cancel);

    REQUIRE(stage.until([&] { return worker.call(solve_path)->closed; }));
    CHECK(worker.call(solve_path)->reset_by_peer == http2::error_code::cancel);
    CHECK_FALSE(worker.call(status_path)->closed);  // the client still reads how it ends
    worker.call(status_path)->send(step("run", "RUN", true));
    worker.call(status_path)->finish();
    CHECK(stage.until([&] { return c.status->closed; }));
    CHECK(steps_of(*c.status).names.back() == "RUN");
    CHECK(stage.workers[1].calls().empty());
    c.leave();
}

TEST_CASE("an answer of the worker is the build's end, whatever it says")
{
    buildkit_stage stage{2, with_failover()};
    auto& worker = stage.workers[0];
    building_client c{stage, "build"};
    auto& bridge = c.client.bridge(llb_return_path, "build", "\x12\x02\x08\x01");  // an error
    REQUIRE(stage.until(
        [&] { return worker.call(solve_path) && worker.call(status_path) && worker.call(llb_return_path); }));
    const auto code = GENERATE(grpc_code::unavailable, grpc_code::unknown, grpc_code::cancelled);
    CAPTURE(code);
    worker.call(llb_return_path)->answer("");
    REQUIRE(stage.until([&] { return bridge.closed; }));
    // CANCELED too: it is the client's own error that comes back.
    worker.call(solve_path)->finish(code, "it says", {{"grpc-status-details-bin", "AAAA"}});
    worker.call(status_path)->finish();
    REQUIRE(stage.until([&] { return c.solve->closed && c.status->closed; }));
    CHECK(c.solve->status() == code);
    CHECK(c.solve->status_message() == "it says");
    const bool only_trailers = !c.solve->response.get("grpc-status").empty();
    CHECK((only_trailers ? c.solve->response : c.solve->trailers).get("grpc-status-details-bin") == "AAAA");
    CHECK(stage.workers[1].calls().empty());
    c.leave();
}

TEST_CASE("a worker that has not heard of a build yet is asked again")
{
    // It waits for Solve for some seconds, which pass at once for one that was frozen.
    buildkit_stage stage{1, with_failover()};
    building_worker worker{stage, 0};
    std::map<std::string, int, std::less<>> refused;
    const int times = GENERATE(1, 3);
    stage.workers[0].on_call = [&, builds = stage.workers[0].on_call](grpc_stream& s) {
        const bool waits_for_solve = s.path() == llb_solve_path || s.path() == status_path;
        if (waits_for_solve && refused[std::string{s.path()}]++ < times) {
            s.finish(grpc_code::not_found, "forwarding: no such job build");
        } else {
            builds(s);
        }
    };
    building_client c{stage, "build"};
    c.run();
    check_result(c, "w1");
    c.leave();
}

TEST_CASE("a worker that never hears of a build is not asked for ever")
{
    buildkit_stage stage{1, with_failover()};
    stage.workers[0].on_call = [](grpc_stream& s) {
        if (s.path() != solve_path) {
            s.finish(grpc_code::not_found, "no such job build");
        }
    };
    building_client c{stage, "build"};
    auto& bridge = c.client.bridge(llb_solve_path, "build", bridge_solve_naming(c.uuid));
    REQUIRE(stage.until([&] { return bridge.closed && c.status->closed; }));
    CHECK(bridge.status() == grpc_code::not_found);
    CHECK(c.status->status() == grpc_code::not_found);
    CHECK(stage.workers[0].call(llb_solve_path, 3) != nullptr);
    CHECK(stage.workers[0].call(llb_solve_path, 4) == nullptr);
    CHECK(stage.workers[0].call(status_path, 4) == nullptr);
    stage.workers[0].call(solve_path)->finish(grpc_code::unknown, "never");
    REQUIRE(stage.until([&] { return c.solve->closed; }));
    c.leave();
}

TEST_CASE("a worker that is gone right after it has answered Solve has not lost the build")
{
    buildkit_stage stage{2, with_failover()};
    auto& worker = stage.workers[0];
    building_client c{stage, "build"};
    REQUIRE(stage.until([&] { return worker.call(solve_path) && worker.call(status_path); }));
    worker.call(solve_path)->answer("built by w1");
    REQUIRE(stage.until([&] { return c.solve->closed; }));
    worker.cut();
    REQUIRE(stage.until([&] { return c.status->closed; }));
    CHECK(c.solve->status() == grpc_code::ok);
    CHECK(c.status->status() == grpc_code::ok);
    CHECK(stage.workers[1].calls().empty());
    c.leave();
}

TEST_CASE("Status goes on with the next worker though the first one has told everything")
{
    buildkit_stage stage{2, with_failover()};
    auto& old = stage.workers[0];
    building_client c{stage, "build"};
    REQUIRE(stage.until([&] { return old.call(solve_path) && old.call(status_path); }));
    old.call(status_path)->send(step("run", "RUN on w1", true));
    old.call(status_path)->finish();
    CHECK(stage.peers.never([&] { return c.status->closed; }));
    const building_worker second{stage, 1};
    old.cut();
    c.run();
    check_result(c, "w2");
    c.leave();
}

TEST_CASE("a build that can't be repeated fails at once when its worker is lost, with the reason")
{
    auto settings = with_failover();
    std::string reason;
    std::function<void(building_client&, fake_worker&)> before;
    SECTION("its client runs a container")
    {
        reason = "container";
        before = [](building_client& c, fake_worker& w) {
            c.client.bridge(container_path, c.ref);
            REQUIRE(c.stage.until([&] { return w.call(container_path) != nullptr; }));
        };
    }
    SECTION("its client has called what nobody knows")
    {
        reason = "does not know";
        before = [](building_client& c, fake_worker& w) {
            c.client.bridge("/moby.buildkit.v1.frontend.LLBBridge/Invented", c.ref);
            REQUIRE(c.stage.until([&] { return w.call("/moby.buildkit.v1.frontend.LLBBridge/Invented") != nullptr; }));
        };
    }
    SECTION("its client sends from a pipe")
    {
        reason = "read only once";
        before = [](building_client& c, fake_worker& w) {
            w.session(c.uuid)->call(upload_path);
            REQUIRE(c.stage.until([&] { return c.session->count() == 1; }));
        };
    }
    SECTION("a session of it has ended")
    {
        reason = "session that it needs has ended";
        before = [](building_client& c, fake_worker&) {
            c.session->outer().end();
            REQUIRE(c.stage.until([&] { return c.session->outer().closed; }));
        };
    }
    SECTION("it is too large to be kept")
    {
        reason = "failover.record";
        settings.failover.record = 3000;
        before = [](building_client& c, fake_worker& w) {
            c.client.bridge(llb_solve_path, c.ref, std::string{"\x12\x88\x27", 3} + std::string(5000, 'f'));
            REQUIRE(c.stage.until([&] { return w.call(llb_solve_path) && w.call(llb_solve_path)->ended; }));
        };
    }
    SECTION("its calls come over several connections")
    {
        reason = "several connections";
        before = [](building_client& c, fake_worker& w) {
            c.stage.client().bridge(read_path, c.ref);
            REQUIRE(c.stage.until([&] { return w.call(read_path) != nullptr; }));
        };
    }
    buildkit_stage stage{2, settings};
    auto& worker = stage.workers[0];
    building_client c{stage, "build"};
    REQUIRE(stage.until([&] { return worker.call(solve_path) && worker.call(status_path); }));
    before(c, worker);

    worker.cut();

    REQUIRE(stage.until([&] { return c.solve->closed && c.status->closed; }));
    CHECK(c.solve->status() == grpc_code::unavailable);
    CHECK_THAT(c.solve->status_message(),
               Catch::StartsWith("buildkit-lb: worker w1 was lost: ") && Catch::Contains(reason));
    CHECK(c.status->status() == grpc_code::ok);
    CHECK(stage.workers[1].calls().empty());
    CHECK_THAT(stage.lb->metrics().expose(), Catch::Contains("result=\"refused\",worker=\"w1\"} 1"));
    c.leave();
}

TEST_CASE("a build that has lost every worker of its pool fails and names each")
{
    buildkit_stage stage{1, with_failover()};
    auto& worker = stage.workers[0];
    building_client c{stage, "build"};
    auto& bridge = c.client.bridge(read_path, "build");
    REQUIRE(stage.until([&] { return worker.call(solve_path) && worker.call(read_path); }));
    worker.cut();
    REQUIRE(stage.until([&] { return c.solve->closed && c.status->closed && bridge.closed; }));
    CHECK(c.solve->status() == grpc_code::unavailable);
    CHECK_THAT(c.solve->status_message(), Catch::Contains("worker w1 was lost") &&
                                              Catch::Contains("can't start again") &&
                                              Catch::Contains("w1 has lost this build"));
    CHECK(bridge.status_message() == c.solve->status_message());
    CHECK_THAT(stage.lb->metrics().expose(), Catch::Contains("result=\"no_worker\",worker=\"w1\"} 1"));
    c.leave();
}

TEST_CASE("a build that was lost waits for a place ahead of those that had none yet, and says so")
{
    auto settings = with_failover();
    settings.max_builds = 1;
    buildkit_stage stage{2, settings};
    building_client lost{stage, "lost"};
    REQUIRE(stage.until([&] { return stage.workers[0].call(solve_path) && stage.workers[0].call(status_path); }));
    building_client busy{stage, "busy"};
    REQUIRE(stage.until([&] { return stage.workers[1].call(solve_path) && stage.workers[1].call(status_path); }));
    building_client queued{stage, "queued"};
    REQUIRE(stage.until([&] { return stage.lb->pool().queue_length() == 1; }));
    auto& bridge = lost.client.bridge(llb_solve_path, "lost", bridge_solve_naming(lost.uuid));
    REQUIRE(stage.until([&] { return stage.workers[0].call(llb_solve_path) != nullptr; }));

    stage.workers[0].refuse();
    stage.workers[0].cut();

    REQUIRE(stage.until([&] { return stage.lb->pool().queue_length() == 2; }));
    CHECK(stage.lb->worker(0)->active_builds() == 0);
    REQUIRE(stage.until(
        [&] { return count_of(steps_of(*lost.status).names, "[buildkit-lb] waiting for a free worker") == 1; }));
    CHECK_FALSE(bridge.closed);
    // What comes meanwhile is held too.
    auto& late = lost.client.bridge(read_path, "lost", read_of("x"));
    stage.workers[1].call(status_path)->finish();
    stage.workers[1].call(solve_path)->answer("built");
    REQUIRE(stage.until([&] {
        return stage.workers[1].call(solve_path, 1) && stage.workers[1].call(llb_solve_path) &&
               stage.workers[1].call(read_path) && stage.workers[1].call(status_path, 1);
    }));
    CHECK_THAT(stage.workers[1].call(solve_path, 1)->messages.at(0), Catch::Contains("lost"));
    CHECK(stage.lb->pool().queue_length() == 1);
    CHECK(stage.lb->worker(1)->active_builds() == 1);
    stage.workers[1].call(llb_solve_path)->answer(answer_with_ref("r"));
    stage.workers[1].call(read_path)->answer("file");
    stage.workers[1].call(status_path, 1)->finish();
    stage.workers[1].call(solve_path, 1)->answer("built again");
    REQUIRE(stage.until([&] { return lost.solve->closed && lost.status->closed && bridge.closed && late.closed; }));
    CHECK(lost.solve->messages == std::vector<std::string>{"built again"});
    const auto told = steps_of(*lost.status);
    CHECK(told.all_closed);
    CHECK(told.names.back() == "[buildkit-lb] w1 was lost; the build starts again on w2");
    REQUIRE(stage.until([&] { return stage.workers[1].call(solve_path, 2) && stage.workers[1].call(status_path, 2); }));
    stage.workers[1].call(status_path, 2)->finish();
    stage.workers[1].call(solve_path, 2)->answer("built");
    REQUIRE(stage.until([&] { return queued.solve->closed && busy.solve->closed; }));
    busy.session->outer().end();
    queued.session->outer().end();
    lost.leave();
}

TEST_CASE("a client that leaves while its build waits for another worker leaves nothing behind")
{
    auto settings = with_failover();
    settings.max_builds = 1;
    buildkit_stage stage{2, settings};
    building_client lost{stage, "lost"};
    REQUIRE(stage.until([&] { return stage.workers[0].call(solve_path) && stage.workers[0].call(status_path); }));
    building_client busy{stage, "busy"};
    REQUIRE(stage.until([&] { return stage.workers[1].call(solve_path) && stage.workers[1].call(status_path); }));
    stage.workers[0].refuse();
    stage.workers[0].cut();
    REQUIRE(stage.until([&] { return stage.lb->pool().queue_length() == 1; }));

    SECTION("it takes Solve back")
    {
        auto& bridge = lost.client.bridge(read_path, "lost");
        lost.solve->reset(http2::error_code::cancel);
        REQUIRE(stage.until([&] { return lost.status->closed && bridge.closed; }));
        CHECK(lost.status->status() == grpc_code::ok);
        lost.session->outer().end();
    }
    SECTION("it disconnects")
    {
        lost.client.connection().cut();
    }
    CHECK(stage.until([&] { return stage.lb->pool().queue_length() == 0; }));
    stage.workers[1].call(status_path)->finish();
    stage.workers[1].call(solve_path)->answer("built");
    REQUIRE(stage.until([&] { return busy.solve->closed; }));
    busy.leave();
}

TEST_CASE("a linked build and its parent go to the same other worker")
{
    buildkit_stage stage{3, with_failover()};
    building_client parent{stage, "parent"};
    auto& client = parent.client;
    REQUIRE(stage.until([&] { return stage.workers[0].call(solve_path) && stage.workers[0].call(status_path); }));
    // Another build: the turn of round-robin is not to bring parent and child together by itself.
    building_client other{stage, "other"};
    REQUIRE(stage.until([&] { return stage.workers[1].call(solve_path) != nullptr; }));
    const std::string uuid = session_id(7);
    auto& session = client.session(uuid);
    build what{"child", uuid};
    what.linked = true;
    auto& child = client.solve(what);
    auto& bridge = client.bridge(llb_solve_path, "child", bridge_solve_naming(parent.uuid));
    REQUIRE(stage.until([&] { return stage.workers[0].call(solve_path, 1) && stage.workers[0].call(llb_solve_path); }));
    REQUIRE(stage.lb->worker(0)->active_builds() == 2);

    stage.workers[0].cut();

    auto& next = stage.workers[2];
    REQUIRE(stage.until([&] { return next.call(solve_path, 1) && next.call(llb_solve_path); }));
    CHECK(stage.lb->worker(0)->active_builds() == 0);
    CHECK(stage.lb->worker(2)->active_builds() == 2);
    CHECK(next.session(parent.uuid) != nullptr);
    CHECK(next.session(uuid) != nullptr);
    CHECK_FALSE(bridge.closed);
    for (std::size_t i = 0; i < 2; ++i) {
        next.call(solve_path, i)->answer("built");
    }
    stage.workers[1].call(solve_path)->answer("built");
    REQUIRE(stage.until([&] { return parent.solve->closed && child.closed && other.solve->closed; }));
    CHECK(child.status() == grpc_code::ok);
    CHECK(parent.solve->status() == grpc_code::ok);
    client.connection().close_gracefully();
    parent.session->outer().end();
    session.outer().end();
    other.leave();
}

TEST_CASE("a build whose worker takes no more calls moves when it has more to say")
{
    buildkit_stage stage{2, with_failover()};
    auto& old = stage.workers[0];
    building_client c{stage, "build"};
    auto& before = c.client.bridge(read_path, "build");
    REQUIRE(stage.until([&] { return old.call(solve_path) && old.call(status_path) && old.call(read_path); }));
    old.refuse();
    old.go_away();
    old.call(read_path)->answer("");
    REQUIRE(stage.until([&] { return before.closed; }));
    const building_worker second{stage, 1};
    c.run();
    check_result(c, "w2");
    CHECK(old.call(solve_path)->reset_by_peer == http2::error_code::cancel);
    c.leave();
}

TEST_CASE("a build with an answer that its next worker does not give fails, and says so")
{
    buildkit_stage stage{2, with_failover()};
    const building_worker first{stage, 0, 6};  // after the answer to LLBBridge/Solve
    auto& next = stage.workers[1];
    building_client c{stage, "build"};
    std::string expected;
    SECTION("an error")
    {
        expected = "w2 can't go on with the build: it answered: no such image";
        next.on_call = [](grpc_stream& s) {
            if (s.path() == llb_solve_path) {
                s.finish(grpc_code::not_found, "no such image");
            }
        };
    }
    SECTION("a result of another shape")
    {
        expected = "w2 can't go on with the build: it gives other results";
        next.on_call = [](grpc_stream& s) {
            if (s.path() == llb_solve_path) {
                s.answer("");
            }
        };
    }
    auto& solved = c.client.bridge(llb_solve_path, "build", bridge_solve_naming(c.uuid));
    REQUIRE(stage.until([&] { return solved.closed; }));
    c.client.bridge(read_path, "build", read_of("w1-ref1"));
    REQUIRE(stage.until([&] { return c.solve->closed && c.status->closed; }));
    CHECK(c.solve->status() != grpc_code::ok);
    CHECK_THAT(c.solve->status_message(), Catch::Contains(expected));
    c.leave();
}

TEST_CASE("a build can ask not to be started again")
{
    buildkit_stage stage{2, with_failover()};
    auto& client = stage.client();
    wire::control::SolveRequest request;
    request.set_ref("build");
    (*request.mutable_frontendattrs())["build-arg:BUILDKIT_LB_FAILOVER"] = "off";
    auto& solve = client.connection().call(solve_path, request.SerializeAsString());
    REQUIRE(stage.until([&] { return stage.workers[0].call(solve_path) != nullptr; }));
    stage.workers[0].cut();
    REQUIRE(stage.until([&] { return solve.closed; }));
    CHECK(solve.status() == grpc_code::unavailable);
    CHECK_THAT(solve.status_message(), Catch::Contains("worker w1 was lost"));
    CHECK(stage.workers[1].calls().empty());

    (*request.mutable_frontendattrs())["build-arg:BUILDKIT_LB_FAILOVER"] = "maybe";
    auto& odd = client.connection().call(solve_path, request.SerializeAsString());
    REQUIRE(stage.until([&] { return odd.closed; }));
    CHECK(odd.status() == grpc_code::invalid_argument);
    CHECK_THAT(odd.status_message(), Catch::Contains("'maybe'") && Catch::Contains("on, off"));
    CHECK(stage.until([&] { return stage.nothing_left(); }));
}

TEST_CASE("many steps told quickly to a slow reader all arrive, in order")
{
    buildkit_stage stage{1, with_failover()};
    building_client c{stage, "build"};
    auto& worker = stage.workers[0];
    REQUIRE(stage.until([&] { return worker.call(solve_path) && worker.call(status_path); }));
    c.status->holds_credit = true;
    constexpr int many = 300;
    for (int i = 0; i < many; ++i) {
        worker.call(status_path)
            ->send(step("s" + std::to_string(i), std::string(20'000, 'n') + std::to_string(i), true));
    }
    CHECK(stage.peers.never([&] { return c.status->messages.size() > many; }));
    worker.call(status_path)->finish();
    worker.call(solve_path)->answer("built");
    c.status->holds_credit = false;
    c.status->take_all();
    REQUIRE(stage.until([&] { return c.status->closed; }));
    REQUIRE(c.status->messages.size() == many + 1);  // the first is our own line
    CHECK(steps_of(*c.status).names.back() == std::string(20'000, 'n') + std::to_string(many - 1));
    c.leave();
}

TEST_CASE("a worker that falls silent is asked whether it lives, and lost when it does not answer")
{
    auto settings = with_failover();
    settings.failover.liveness = 1500ms;
    buildkit_stage stage{2, settings};
    auto& worker = stage.workers[0];
    building_client c{stage, "build"};
    REQUIRE(stage.until([&] { return worker.call(solve_path) && worker.call(status_path); }));

    SECTION("it says nothing")
    {
        stage.lb->pool().observe_connect_failures([](const auto&, const auto&) {});  // health counts
        const building_worker second{stage, 1};
        REQUIRE(stage.until([&] { return worker.call(health_path) != nullptr; }));
        c.run();
        check_result(c, "w2");
        CHECK(stage.lb->pool().snapshot()->workers[0].health == balancer::worker_health::down);
        CHECK_THAT(stage.lb->pool().snapshot()->workers[0].last_error, Catch::Contains("silent for 1.5 s"));
    }
    SECTION("it answers")
    {
        std::size_t asked = 0;
        worker.on_call = [&](grpc_stream& s) {
            if (s.path() == health_path) {
                ++asked;
                s.finish(grpc_code::unimplemented);
            }
        };
        REQUIRE(stage.until([&] { return asked == 4; }));
        CHECK_FALSE(c.solve->closed);
        CHECK(stage.workers[1].calls().empty());
        worker.call(status_path)->finish();
        worker.call(solve_path)->answer("built");
        REQUIRE(stage.until([&] { return c.solve->closed && c.status->closed; }));
        CHECK(c.solve->status() == grpc_code::ok);
    }
    c.leave();
}
