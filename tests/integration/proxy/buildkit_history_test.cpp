#include <boost/asio/steady_timer.hpp>
#include <catch2/catch.hpp>

#include "buildkit/content.hpp"
#include "buildkit/wire/content.pb.h"
#include "buildkit/wire/control.pb.h"
#include "support/fake_buildkit.hpp"

using namespace buildkit_lb;
using namespace buildkit_lb::test;
using namespace std::chrono_literals;
using buildkit::grpc_code;
using Catch::Contains;

namespace {

constexpr std::string_view listen_path = "/moby.buildkit.v1.Control/ListenBuildHistory";
constexpr std::string_view update_path = "/moby.buildkit.v1.Control/UpdateBuildHistory";
constexpr std::string_view content_info_path = "/containerd.services.content.v1.Content/Info";
constexpr std::string_view content_read_path = "/containerd.services.content.v1.Content/Read";

struct question {
    std::string ref{};
    bool early_exit = true;
    std::int32_t limit = 0;
};

std::string request(const question& q)
{
    wire::control::BuildHistoryRequest r;
    r.set_ref(q.ref);
    r.set_earlyexit(q.early_exit);
    r.set_limit(q.limit);
    return r.SerializeAsString();
}

std::string event(const std::string& ref, std::int64_t created, const std::string& digest = {},
                  wire::control::BuildHistoryEventType type = wire::control::COMPLETE)
{
    wire::control::BuildHistoryEvent e;
    e.set_type(type);
    e.mutable_record()->set_ref(ref);
    e.mutable_record()->mutable_createdat()->set_seconds(created);
    if (!digest.empty()) {
        e.mutable_record()->mutable_logs()->set_digest(digest);
    }
    return e.SerializeAsString() + std::string{"\xc2\x3e\x03new", 6};  // a field that no message of ours declares
}

std::string digest(char fill)
{
    return "sha256:" + std::string(64, fill);
}

std::vector<std::string> refs(const grpc_stream& call)
{
    std::vector<std::string> all;
    for (const auto& m : call.messages) {
        wire::control::BuildHistoryEvent e;
        REQUIRE(e.ParseFromString(m));
        all.push_back(e.record().ref());
    }
    return all;
}

grpc_stream& ask(buildkit_stage& stage, fake_client& client, std::string_view path, const std::string& message)
{
    auto& call = client.connection().call(path, message);
    REQUIRE(stage.until([&] { return call.closed; }));
    return call;
}

grpc_stream& ask(buildkit_stage& stage, std::string_view path, const std::string& message)
{
    return ask(stage, stage.client(), path, message);
}

/// Workers that answer every call with these events and OK.
void tell(buildkit_stage& stage, const std::vector<std::vector<std::string>>& events)
{
    for (std::size_t i = 0; i < events.size(); ++i) {
        stage.workers[i].on_call = [mine = events[i]](grpc_stream& call) {
            for (const auto& e : mine) {
                call.send(e);
            }
            call.finish();
        };
    }
}

std::string update(const std::string& ref)
{
    wire::control::UpdateBuildHistoryRequest r;
    r.set_ref(ref);
    r.set_delete_(true);
    return r.SerializeAsString();
}

std::size_t asked(const fake_worker& w, std::string_view path)
{
    std::size_t n = 0;
    while (w.call(path, n) != nullptr) {
        ++n;
    }
    return n;
}

}  // namespace

TEST_CASE("the history of a pool is that of its workers, running builds first, the newest first")
{
    buildkit_stage stage{3};
    tell(stage, {{event("a", 10), event("c", 30)}, {}, {event("run", 5, {}, wire::control::STARTED), event("b", 20)}});
    const auto& call = ask(stage, listen_path, request({}));
    CHECK(refs(call) == std::vector<std::string>{"run", "c", "b", "a"});
    CHECK(call.messages[1] == event("c", 30));  // with what this program does not know
    CHECK(call.status() == grpc_code::ok);
    // The daemons' own header, by which clients tell how long ago a build was.
    const std::string now{call.response.get("buildkit-current-timestamp")};
    CHECK(now.size() == std::string{"2026-11-24T14:59:06.123456789Z"}.size());
    CHECK(now.substr(0, 2) == "20");
}

TEST_CASE("a limit holds for the pool, also where a worker ignores it")
{
    buildkit_stage stage{2};
    tell(stage, {{event("a", 10), event("c", 30)}, {event("b", 20), event("d", 40), event("e", 50)}});
    CHECK(refs(ask(stage, listen_path, request({{}, true, 3}))) == std::vector<std::string>{"e", "d", "c"});
    CHECK(stage.workers[0].call(listen_path)->messages == std::vector<std::string>{request({{}, true, 3})});
}

TEST_CASE("a history goes on without a worker that hangs or is dead, and fails where none answers")
{
    balancer_settings settings;
    settings.pool_call_timeout = 200ms;
    buildkit_stage stage{3, settings};
    tell(stage, {{event("a", 10)}});
    stage.workers[1].on_call = [](grpc_stream& call) { call.send(event("b", 20)); };  // and no end
    stage.workers[2].refuse();
    const auto& call = ask(stage, listen_path, request({}));
    CHECK(refs(call) == std::vector<std::string>{"b", "a"});
    CHECK(call.status() == grpc_code::ok);

    stage.workers[0].on_call = nullptr;
    stage.workers[1].on_call = [](grpc_stream& c) { c.finish(grpc_code::invalid_argument, "bad filter"); };
    const auto& refused = ask(stage, listen_path, request({}));
    CHECK(refused.status() == grpc_code::invalid_argument);
    CHECK(refused.status_message() == "bad filter");
}

TEST_CASE("buildx's question whether there is a history is answered at once")
{
    buildkit_stage stage{2};
    const auto& call = ask(stage, listen_path, request({"buildx-test-history-api-feature"}));
    CHECK(call.status() == grpc_code::ok);
    CHECK(call.messages.empty());
    CHECK(stage.workers[0].calls().empty());
    CHECK(stage.workers[1].calls().empty());
}

TEST_CASE("a build that nobody remembers is asked of all; after that its worker is known, and so is its content")
{
    buildkit_stage stage{2};
    tell(stage, {{}, {event("old", 10, digest('a'))}});
    // The one that has it is enough: another may hang.
    stage.workers[0].on_call = nullptr;
    CHECK(refs(ask(stage, listen_path, request({"old"}))) == std::vector<std::string>{"old"});

    stage.workers[1].on_call = [](grpc_stream& call) { call.answer("yes"); };
    CHECK(ask(stage, update_path, update("old")).messages == std::vector<std::string>{"yes"});
    wire::content::ReadContentRequest read;
    read.set_digest(digest('a'));
    CHECK(ask(stage, content_read_path, read.SerializeAsString()).messages == std::vector<std::string>{"yes"});
    CHECK(stage.workers[0].calls().size() == 1);
}

TEST_CASE("a build of nobody's has an empty history")
{
    buildkit_stage stage{2};
    tell(stage, {{}, {}});
    const auto& call = ask(stage, listen_path, request({"nothing"}));
    CHECK(call.status() == grpc_code::ok);
    CHECK(call.messages.empty());
}

TEST_CASE("a change to a build that nobody remembers is made by whoever has it")
{
    buildkit_stage stage{3};
    stage.workers[0].on_call = [](grpc_stream& c) { c.finish(grpc_code::not_found, "no such build"); };
    stage.workers[1].on_call = [](grpc_stream& c) { c.answer({}); };
    stage.workers[2].on_call = [](grpc_stream& c) { c.finish(grpc_code::not_found, "no such build"); };
    const auto& done = ask(stage, update_path, update("old"));
    CHECK(done.status() == grpc_code::ok);
    CHECK(done.messages.size() == 1);

    stage.workers[1].on_call = [](grpc_stream& c) { c.finish(grpc_code::internal, "disk full"); };
    const auto& failed = ask(stage, update_path, update("old"));
    CHECK(failed.status() == grpc_code::internal);
    CHECK(failed.status_message() == "disk full");
}

TEST_CASE("a listener hears what is known and what happens, from every worker")
{
    buildkit_stage stage{2};
    auto& call = stage.client().connection().call(listen_path, request({{}, false, 2}));
    const auto at = [&](std::size_t i) -> grpc_stream& {
        REQUIRE(stage.until([&] { return stage.workers[i].call(listen_path) != nullptr; }));
        return *stage.workers[i].call(listen_path);
    };
    // The client knows at once that it is being listened to.
    REQUIRE(stage.until([&] { return call.answered; }));
    CHECK_FALSE(call.response.get("buildkit-current-timestamp").empty());
    at(0).send(event("a", 10));
    at(0).send(event("c", 30));
    at(1).send(event("b", 20));
    REQUIRE(stage.until([&] { return call.messages.size() == 2; }));
    CHECK(refs(call) == std::vector<std::string>{"c", "b"});

    at(1).send(event("d", 40, {}, wire::control::STARTED));
    REQUIRE(stage.until([&] { return call.messages.size() == 3; }));
    at(0).send(event("e", 1));
    REQUIRE(stage.until([&] { return call.messages.size() == 4; }));
    CHECK(refs(call) == std::vector<std::string>{"c", "b", "d", "e"});
    CHECK_FALSE(call.ended);

    call.reset(http2::error_code::cancel);
    CHECK(stage.until([&] { return at(0).closed && at(1).closed; }));
    CHECK(at(0).reset_by_peer == http2::error_code::cancel);
}

TEST_CASE("a listener follows workers that are lost and come back, and hears nothing twice")
{
    buildkit_stage stage{2};
    auto& call = stage.client().connection().call(listen_path, request({{}, false}));
    REQUIRE(stage.until([&] { return stage.workers[1].call(listen_path) != nullptr; }));
    stage.workers[1].call(listen_path)->send(event("b", 20));
    REQUIRE(stage.until([&] { return call.messages.size() == 1; }));

    stage.workers[1].cut();
    REQUIRE(stage.until([&] { return asked(stage.workers[1], listen_path) == 2; }, 10s));
    CHECK_FALSE(call.ended);
    auto& again = *stage.workers[1].call(listen_path, 1);
    again.send(event("b", 20));
    again.send(event("while-lost", 30));
    REQUIRE(stage.until([&] { return call.messages.size() == 2; }));
    CHECK(refs(call) == std::vector<std::string>{"b", "while-lost"});

    // The other one was not disturbed.
    CHECK(asked(stage.workers[0], listen_path) == 1);
    stage.workers[0].call(listen_path)->send(event("a", 40));
    REQUIRE(stage.until([&] { return call.messages.size() == 3; }));
}

TEST_CASE("a listener whom every worker refuses is refused")
{
    buildkit_stage stage{2};
    for (auto& w : stage.workers) {
        w.on_call = [](grpc_stream& c) { c.finish(grpc_code::unimplemented, "no history"); };
    }
    const auto& call = ask(stage, listen_path, request({{}, false}));
    CHECK(call.status() == grpc_code::unimplemented);
    CHECK(call.status_message() == "no history");
}

TEST_CASE("the provenance of a build that has just ended can be read though its worker is lost meanwhile")
{
    buildkit_stage stage{2};
    auto& client = stage.client();  // buildx uses one connection
    stage.lb->buildkit().refs.learn("mine", stage.lb->worker(0));
    wire::control::BuildHistoryEvent e;
    e.ParseFromString(event("mine", 10));
    auto& named = *e.mutable_record()->mutable_result()->add_attestations();
    named.set_media_type("application/vnd.in-toto+json");
    named.set_digest(digest('a'));
    named.set_size(10);
    const auto has = [&](std::string_view content) {
        return [&e, content](grpc_stream& c) {
            if (c.path() == listen_path) {
                c.send(e.SerializeAsString());
            } else {
                c.send(buildkit::content_read_answer(0, content.substr(0, 4)));
                c.send(buildkit::content_read_answer(4, content.substr(4)));
            }
            c.finish();
        };
    };
    wire::content::ReadContentRequest read;
    read.set_digest(digest('a'));

    SECTION("after the record was told")
    {
        stage.workers[0].on_call = has("provenance");
        CHECK(refs(ask(stage, client, listen_path, request({"mine"}))) == std::vector<std::string>{"mine"});
        stage.workers[0].refuse();
        const auto& info = ask(stage, client, content_info_path, read.SerializeAsString());
        CHECK(info.messages == std::vector{buildkit::content_info_answer(digest('a'), 10)});
        const auto part = [&](std::int64_t offset, std::int64_t size) -> const grpc_stream& {
            read.set_offset(offset);
            read.set_size(size);
            return ask(stage, client, content_read_path, read.SerializeAsString());
        };
        CHECK(part(0, 0).messages == std::vector{buildkit::content_read_answer(0, "provenance")});
        CHECK(part(2, 3).messages == std::vector{buildkit::content_read_answer(2, "ove")});
        CHECK(part(10, 3).messages == std::vector{buildkit::content_read_answer(10, "")});
        CHECK(part(11, 0).status() == grpc_code::out_of_range);
        CHECK(part(-1, 0).status() == grpc_code::out_of_range);
        CHECK(part(0, -1).status() == grpc_code::out_of_range);
        CHECK(asked(stage.workers[1], content_read_path) == 0);
    }
    SECTION("while what it names is read: then nothing is told of it")
    {
        stage.workers[0].on_call = [&](grpc_stream& c) {
            if (c.path() == content_read_path) {
                stage.workers[0].refuse();
                stage.workers[0].cut();
                return;
            }
            has("")(c);
        };
        const auto& call = ask(stage, client, listen_path, request({"mine"}));
        CHECK(call.status() == grpc_code::ok);
        CHECK(call.messages.empty());
    }
    SECTION("but what is not what the record says is not kept")
    {
        stage.workers[0].on_call = has("another text");
        CHECK(refs(ask(stage, client, listen_path, request({"mine"}))) == std::vector<std::string>{"mine"});
        stage.workers[0].on_call = [](grpc_stream& c) { c.finish(grpc_code::not_found, "content: not found"); };
        stage.workers[1].on_call = stage.workers[0].on_call;
        CHECK(ask(stage, client, content_read_path, read.SerializeAsString()).status() == grpc_code::not_found);
    }
}

TEST_CASE("the record of a build whose worker refuses to tell it is refused")
{
    buildkit_stage stage{1};
    stage.lb->buildkit().refs.learn("mine", stage.lb->worker(0));
    stage.workers[0].on_call = [](grpc_stream& c) { c.finish(grpc_code::unimplemented, "no history"); };
    CHECK(ask(stage, listen_path, request({"mine"})).status() == grpc_code::unimplemented);
}

TEST_CASE("content that nobody remembers is read from the first worker that has it")
{
    buildkit_stage stage{3};
    for (std::size_t i = 0; i < 3; ++i) {
        stage.workers[i].on_call = [i](grpc_stream& c) {
            if (i == 1) {
                c.answer(c.path() == content_read_path ? "the content" : "about it");
            } else {
                c.finish(grpc_code::not_found, "content: not found");
            }
        };
    }
    wire::content::ReadContentRequest read;
    read.set_digest(digest('b'));
    CHECK(ask(stage, content_read_path, read.SerializeAsString()).messages == std::vector<std::string>{"the content"});
    CHECK(ask(stage, content_read_path, read.SerializeAsString()).messages == std::vector<std::string>{"the content"});
    CHECK(asked(stage.workers[0], content_info_path) == 1);
    CHECK(asked(stage.workers[0], content_read_path) == 0);

    stage.workers[1].on_call = stage.workers[0].on_call;
    read.set_digest(digest('c'));
    const auto& nowhere = ask(stage, content_read_path, read.SerializeAsString());
    CHECK(nowhere.status() == grpc_code::not_found);
    CHECK(nowhere.status_message() == "content: not found");
}

TEST_CASE("content whose worker is down is read from another one that has it too")
{
    buildkit_stage stage{2};
    for (std::size_t i = 0; i < 2; ++i) {
        stage.workers[i].on_call = [](grpc_stream& c) { c.answer("the content"); };
    }
    stage.lb->buildkit().digests.learn(digest('b'), stage.lb->worker(0));
    stage.lb->pool().set_health(*stage.lb->worker(0), balancer::worker_health::down, "refused");
    wire::content::ReadContentRequest read;
    read.set_digest(digest('b'));
    const auto& call = ask(stage, content_read_path, read.SerializeAsString());
    CHECK(call.messages == std::vector<std::string>{"the content"});
    CHECK(stage.workers[0].calls().empty());
}

TEST_CASE("content that only a worker has which has just left the pool is read from there")
{
    buildkit_stage stage{2};
    stage.workers[0].on_call = [](grpc_stream& c) { c.answer("the content"); };
    stage.workers[1].on_call = [](grpc_stream& c) { c.finish(grpc_code::not_found, "content: not found"); };
    stage.lb->buildkit().digests.learn(digest('b'), stage.lb->worker(0));
    balancer::worker_settings staying;
    staying.name = "w2";
    staying.address = stage.lb->worker(1)->address();
    stage.lb->pool().set_workers({staying});
    stage.lb->pool().drop_idle_leavers();
    wire::content::ReadContentRequest read;
    read.set_digest(digest('b'));
    CHECK(ask(stage, content_read_path, read.SerializeAsString()).messages == std::vector<std::string>{"the content"});
    read.set_digest(digest('c'));
    CHECK(ask(stage, content_read_path, read.SerializeAsString()).status() == grpc_code::not_found);
}

TEST_CASE("Status of a build that ended long ago goes to the worker whose history has it, and no other is kept waiting")
{
    buildkit_stage stage{3};
    // The first hangs, the second knows nothing.
    stage.workers[1].on_call = [](grpc_stream& c) { c.finish(); };
    stage.workers[2].on_call = [](grpc_stream& c) {
        if (c.path() == listen_path) {
            c.send(event("other", 10));
            c.send(event("old", 20));
        } else {
            c.answer("its steps");
        }
    };
    auto& status = stage.client().status("old");
    REQUIRE(stage.until([&] { return status.closed; }));
    CHECK(status.messages == std::vector<std::string>{"its steps"});
    CHECK(stage.until([&] { return stage.workers[0].call(listen_path)->closed; }));
    CHECK(stage.workers[0].call(listen_path)->reset_by_peer == http2::error_code::cancel);
    CHECK(stage.workers[2].call(listen_path)->closed);
    CHECK(stage.workers[0].call(status_path) == nullptr);
    CHECK(stage.until([&] { return stage.nothing_left(); }));
}

TEST_CASE("a Solve that comes while the histories are searched is what its Status follows")
{
    buildkit_stage stage{1};
    auto& client = stage.client();
    auto& status = client.status("new");
    REQUIRE(stage.until([&] { return stage.workers[0].call(listen_path) != nullptr; }));
    client.solve({"new", {}});
    REQUIRE(stage.until([&] { return stage.workers[0].call(status_path) != nullptr; }));
    CHECK(stage.until([&] { return stage.workers[0].call(listen_path)->closed; }));
    CHECK(stage.workers[0].call(listen_path)->reset_by_peer == http2::error_code::cancel);
    status.reset(http2::error_code::cancel);
}
