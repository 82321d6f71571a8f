#include "proxy/buildkit/session_directory.hpp"

#include <boost/asio/io_context.hpp>
#include <catch2/catch.hpp>

using namespace buildkit_lb;
using namespace buildkit_lb::proxy;
using namespace std::chrono_literals;

namespace {

/// A host that notes what it is asked and answers as it is told.
struct host final : session_host {
    void attach(const std::shared_ptr<balancer::worker>& where, std::function<void(attach_outcome)> done) override
    {
        asked.push_back(where->name());
        done(answer);
    }
    std::vector<std::string> asked;
    attach_outcome answer = attach_outcome::attached;
};

std::shared_ptr<balancer::worker> worker(const std::string& name)
{
    balancer::worker_settings settings;
    settings.name = name;
    return std::make_shared<balancer::worker>(settings);
}

struct directory_test {
    void run()
    {
        context.restart();
        context.run();
    }
    session_directory::attach_done noting()
    {
        return [this](attach_outcome outcome) { outcomes.push_back(outcome); };
    }

    boost::asio::io_context context;
    session_directory directory;
    const std::shared_ptr<balancer::worker> w1 = worker("w1");
    const time_point now = clock::now();
    std::vector<attach_outcome> outcomes;
};

}  // namespace

TEST_CASE("a session is asked on its own thread, and its answer is passed on")
{
    directory_test t;
    const auto h = std::make_shared<host>();
    h->answer = GENERATE(attach_outcome::attached, attach_outcome::absent, attach_outcome::unreachable);
    REQUIRE(t.directory.add("uuid", t.context.get_executor(), h));

    t.directory.attach("uuid", t.w1, t.now, t.noting());
    CHECK(h->asked.empty());
    t.run();

    CHECK(h->asked == std::vector<std::string>{"w1"});
    CHECK(t.outcomes == std::vector{h->answer});
}

TEST_CASE("a session that comes in time gets every worker that waits for it, and no other")
{
    directory_test t;
    t.directory.attach("late", t.w1, t.now, t.noting());
    t.directory.attach("other", t.w1, t.now, t.noting());
    t.directory.attach("late", worker("w2"), t.now, t.noting());
    t.directory.expire(t.now + session_directory::wait_time - 1ns);
    CHECK(t.outcomes.empty());

    const auto h = std::make_shared<host>();
    REQUIRE(t.directory.add("late", t.context.get_executor(), h));
    t.run();

    CHECK(h->asked == std::vector<std::string>{"w1", "w2"});
    CHECK(t.outcomes == std::vector{attach_outcome::attached, attach_outcome::attached});
}

TEST_CASE("a session that does not come is given up once")
{
    directory_test t;
    t.directory.attach("never", t.w1, t.now, t.noting());

    t.directory.expire(t.now + session_directory::wait_time);
    t.directory.expire(t.now + 2 * session_directory::wait_time);

    CHECK(t.outcomes == std::vector{attach_outcome::absent});
    const auto h = std::make_shared<host>();
    REQUIRE(t.directory.add("never", t.context.get_executor(), h));
    t.run();
    CHECK(h->asked.empty());
}

TEST_CASE("a session that is gone before it is asked answers no")
{
    directory_test t;
    auto h = std::make_shared<host>();
    REQUIRE(t.directory.add("uuid", t.context.get_executor(), h));
    t.directory.attach("uuid", t.w1, t.now, t.noting());
    h.reset();

    t.run();

    CHECK(t.outcomes == std::vector{attach_outcome::absent});
}

TEST_CASE("a uuid is entered once, and is free again when it was removed")
{
    directory_test t;
    const auto h = std::make_shared<host>();
    CHECK(t.directory.add("uuid", t.context.get_executor(), h));
    CHECK_FALSE(t.directory.add("uuid", t.context.get_executor(), h));
    CHECK(t.directory.size() == 1);
    t.directory.remove("uuid");
    t.directory.remove("uuid");
    CHECK(t.directory.size() == 0);
    CHECK(t.directory.add("uuid", t.context.get_executor(), h));
}

TEST_CASE("known sessions are found in a request's bytes, whatever their length, until they are removed")
{
    directory_test t;
    const auto h = std::make_shared<host>();
    for (const char* uuid : {"aaaaabbbbbcccccdddddeeeee", "short1", "zzzzzbbbbbcccccdddddeeeee"}) {
        REQUIRE(t.directory.add(uuid, t.context.get_executor(), h));
    }
    const std::string request =
        "\x0a\x19"
        "aaaaabbbbbcccccdddddeeeee\x12\x06short1\x12\x06short2";

    CHECK(t.directory.find_in(request) == std::vector<std::string>{"aaaaabbbbbcccccdddddeeeee", "short1"});
    t.directory.remove("short1");
    CHECK(t.directory.find_in(request) == std::vector<std::string>{"aaaaabbbbbcccccdddddeeeee"});
    t.directory.remove("aaaaabbbbbcccccdddddeeeee");
    CHECK(t.directory.find_in(request).empty());
}

TEST_CASE("who waits for a session hears when it is here, or that it did not come")
{
    directory_test t;
    std::vector<std::string> heard;
    const auto note = [&](const char* who) {
        return [&heard, who](bool here) { heard.push_back(std::string{who} + (here ? " here" : " not")); };
    };
    CHECK_FALSE(t.directory.here_or("late", t.now, note("first")));
    CHECK_FALSE(t.directory.here_or("never", t.now, note("second")));
    CHECK(heard.empty());
    const auto h = std::make_shared<host>();
    REQUIRE(t.directory.add("late", t.context.get_executor(), h, "app:node"));
    CHECK(heard == std::vector<std::string>{"first here"});
    CHECK(t.directory.shared_key_of({"never", "late"}) == "app:node");
    CHECK(t.directory.here_or("late", t.now, note("third")));
    t.directory.expire(t.now + session_directory::wait_time);
    CHECK(heard == std::vector<std::string>{"first here", "second not"});
    CHECK(h->asked.empty());
}

TEST_CASE("whether the sessions of a build are all here, and whether one has had an upload")
{
    boost::asio::io_context context;
    session_directory directory;
    const auto someone = std::make_shared<host>();
    REQUIRE(directory.add("a", context.get_executor(), someone));
    REQUIRE(directory.add("b", context.get_executor(), someone));
    CHECK(directory.standing_of({}).all_here);
    CHECK(directory.standing_of({"a", "b"}).all_here);
    CHECK_FALSE(directory.standing_of({"a", "c"}).all_here);
    directory.note_upload("a");
    directory.note_upload("c");
    CHECK(directory.standing_of({"b", "a"}).uploaded);
    CHECK_FALSE(directory.standing_of({"b"}).uploaded);
    directory.remove("a");
    CHECK_FALSE(directory.standing_of({"a"}).all_here);
    CHECK_FALSE(directory.standing_of({"a"}).uploaded);
}
