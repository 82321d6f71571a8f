#include "buildkit/history_events.hpp"

#include <catch2/catch.hpp>

#include "buildkit/wire/control.pb.h"

using namespace buildkit_lb;
using namespace buildkit_lb::buildkit;

namespace {

wire::control::BuildHistoryEvent event_of(const std::string& ref, std::int64_t created,
                                          wire::control::BuildHistoryEventType type = wire::control::COMPLETE)
{
    wire::control::BuildHistoryEvent event;
    event.set_type(type);
    event.mutable_record()->set_ref(ref);
    event.mutable_record()->mutable_createdat()->set_seconds(created);
    return event;
}

history_event parsed(const wire::control::BuildHistoryEvent& event)
{
    auto read = parse_history_event(event.SerializeAsString());
    REQUIRE(read.has_value());
    return std::move(*read);
}

std::vector<std::string> refs(const std::vector<history_event>& events)
{
    std::vector<std::string> all;
    for (const auto& e : events) {
        all.push_back(e.ref);
    }
    return all;
}

}  // namespace

TEST_CASE("a history request tells what it asks for")
{
    wire::control::BuildHistoryRequest request;
    request.set_ref("r");
    request.set_earlyexit(true);
    request.set_activeonly(true);
    request.set_limit(7);
    const auto what = parse_history_request(request.SerializeAsString());
    REQUIRE(what.has_value());
    CHECK(what->ref == "r");
    CHECK(what->early_exit);
    CHECK(what->active_only);
    CHECK(what->limit == 7);
    CHECK_FALSE(parse_history_request("\x12\x7f").has_value());
}

TEST_CASE("a build is searched by a filter, and a Ref that no filter can hold by reading everything")
{
    wire::control::BuildHistoryRequest request;
    REQUIRE(request.ParseFromString(history_search("abc123")));
    CHECK(request.earlyexit());
    CHECK_FALSE(request.has_ref());
    REQUIRE(request.filter_size() == 1);
    CHECK(request.filter(0) == "ref==abc123");
    REQUIRE(request.ParseFromString(history_search("a,b\"c")));
    CHECK(request.filter_size() == 0);
}

TEST_CASE("running builds come first, then finished ones, the newest first")
{
    history_batch batch{0};
    batch.add(parsed(event_of("old", 10)));
    batch.add(parsed(event_of("running", 5, wire::control::STARTED)));
    batch.add(parsed(event_of("new", 30)));
    batch.add(parsed(event_of("b", 20)));
    batch.add(parsed(event_of("a", 20)));
    CHECK(refs(batch.take()) == std::vector<std::string>{"running", "new", "a", "b", "old"});
    CHECK(batch.empty());
    CHECK(batch.bytes() == 0);
}

TEST_CASE("the limit holds for all workers' finished builds together, and not for running ones")
{
    history_batch batch{2};
    for (int i = 0; i < 100; ++i) {
        batch.add(parsed(event_of("r" + std::to_string(i), i)));
    }
    batch.add(parsed(event_of("running", 1, wire::control::STARTED)));
    // What can't be told any more is not kept.
    CHECK(batch.bytes() < 30 * parsed(event_of("r10", 10)).bytes.size());
    CHECK(refs(batch.take()) == std::vector<std::string>{"running", "r99", "r98"});
    batch.add(parsed(event_of("later", 1000)));
    CHECK(batch.take().empty());
}

TEST_CASE("fractions of a second count")
{
    history_batch batch{1};
    auto later = event_of("later", 10);
    later.mutable_record()->mutable_createdat()->set_nanos(2);
    auto earlier = event_of("earlier", 10);
    earlier.mutable_record()->mutable_createdat()->set_nanos(1);
    batch.add(parsed(earlier));
    batch.add(parsed(later));
    CHECK(refs(batch.take()) == std::vector<std::string>{"later"});
}

TEST_CASE("one state of a record has one identity, whatever the order of its fields; another state has another")
{
    auto event = event_of("r", 10);
    event.mutable_record()->mutable_completedat()->set_seconds(20);
    const auto first = parsed(event);
    // Fields of other order, and one that this program does not know.
    wire::control::BuildHistoryRecord ref_only;
    ref_only.set_ref("r");
    wire::control::BuildHistoryEvent turned = event;
    turned.mutable_record()->Clear();
    std::string bytes = turned.SerializeAsString();
    std::string record = event.record().SerializeAsString().substr(ref_only.SerializeAsString().size()) +
                         ref_only.SerializeAsString() + std::string{"\xc2\x3e\x03new", 6};
    bytes = std::string{"\x08\x01\x12"} + static_cast<char>(record.size()) + record;
    const auto same = parse_history_event(bytes);
    REQUIRE(same.has_value());
    CHECK(same->identity == first.identity);
    CHECK(same->bytes == bytes);

    for (const auto& change : std::vector<std::function<void(wire::control::BuildHistoryEvent&)>>{
             [](auto& e) { e.set_type(wire::control::DELETED); },
             [](auto& e) { e.mutable_record()->set_ref("s"); },
             [](auto& e) { e.mutable_record()->set_generation(1); },
             [](auto& e) { e.mutable_record()->set_pinned(true); },
             [](auto& e) { e.mutable_record()->mutable_trace()->set_digest("sha256:1"); },
             [](auto& e) { e.mutable_record()->mutable_completedat()->set_seconds(21); },
         }) {
        auto changed = event;
        change(changed);
        CHECK(parsed(changed).identity != first.identity);
    }
}

TEST_CASE("malformed events are not events")
{
    CHECK_FALSE(parse_history_event("\x12\x7f").has_value());
    CHECK_FALSE(parse_history_event(std::string{"\x12\x02\x0a\x7f", 4}).has_value());
    CHECK(parse_history_event("").has_value());
}
