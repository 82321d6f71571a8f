#include "buildkit/session_scan.hpp"

#include <catch2/catch.hpp>
#include <set>
#include <string>

#include "buildkit/wire/control.pb.h"

using namespace buildkit_lb::buildkit;

namespace {

using ids = std::vector<std::string>;

const std::string one = "abcdefghijklmnopqrstuvwxy";
const std::string two = "0123456789zyxwvutsrqponml";

ids scan(std::string_view bytes, const std::set<std::string>& known, const std::vector<std::size_t>& lengths = {25})
{
    return find_sessions(bytes, lengths, [&](std::string_view text) { return known.contains(std::string{text}); });
}

}  // namespace

TEST_CASE("known session ids are found in order and once each")
{
    CHECK(scan("x" + two + "|" + one + "|" + two, {one, two}) == ids{two, one});
    CHECK(scan(one, {one}) == ids{one});
    CHECK(scan(one, {two}).empty());
    CHECK(scan("", {one}).empty());
    CHECK(scan(one.substr(1), {one}).empty());
}

TEST_CASE("an id is found among bytes that look like letters")
{
    // Every alignment in a longer run, as lengths and tags around it may make one.
    for (std::size_t before = 0; before < 30; ++before) {
        const std::string bytes = "\x01" + std::string(before, 'q') + one + std::string(30 - before, '7') + "\xff";
        CAPTURE(before);
        CHECK(scan(bytes, {one}) == ids{one});
    }
    CHECK(scan(one + two, {one, two}) == ids{one, two});
}

TEST_CASE("ids that overlap in one run are both found")
{
    const std::string shifted = one.substr(1) + "z";
    CHECK(scan(one + "z", {one, shifted}) == ids{one, shifted});
}

TEST_CASE("ids of several lengths are found, also ones longer than the shortest run")
{
    CHECK(scan("-short-" + one + "-", {"short", one}, {25, 5}) == ids{"short", one});
    CHECK(scan("-short-", {"short"}, {25, 5}) == ids{"short"});
    CHECK(scan("-short-", {"short"}, {}).empty());
    CHECK(scan("-short-", {"short", ""}, {0, 5}) == ids{"short"});
}

TEST_CASE("upper case and punctuation end a run")
{
    std::string broken = one;
    broken[12] = 'M';
    CHECK(scan(broken, {one}).empty());
    broken[12] = '-';
    CHECK(scan(broken, {one, broken}).empty());
}

TEST_CASE("the digits of a sha256 digest are stepped over, and an id right after them is found")
{
    const std::string digits = std::string(63, 'a') + "b";
    const std::string inside = digits.substr(10, 25);
    std::size_t asked = 0;
    const auto found = find_sessions("sha256:" + digits + one, {25}, [&](std::string_view text) {
        ++asked;
        return text == one || text == inside;
    });
    CHECK(found == ids{one});
    CHECK(asked == 1);
    // Not a digest: too short, within the bytes and at their end.
    CHECK(scan("sha256:" + digits.substr(1), {inside}) == ids{inside});
    CHECK(scan("sha256:" + digits.substr(1) + "!", {inside}) == ids{inside});
}

TEST_CASE("the ids of a real request's shape are found wherever they are")
{
    buildkit_lb::wire::ops::Op op;
    op.mutable_source()->set_identifier("local://context");
    (*op.mutable_source()->mutable_attrs())["local.session"] = "some prefix:" + one;
    buildkit_lb::wire::control::SolveRequest request;
    request.set_session(two);
    (*request.mutable_frontendinputs())["base"].add_def(op.SerializeAsString());
    const auto found = scan(request.SerializeAsString(), {one, two});
    CHECK(std::set<std::string>{found.begin(), found.end()} == std::set<std::string>{one, two});
}
