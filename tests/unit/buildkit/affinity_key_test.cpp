#include "buildkit/affinity_key.hpp"

#include <catch2/catch.hpp>

using namespace buildkit_lb::buildkit;

namespace {

affinity_key key_of(attr_map attrs, std::string_view shared_key = {})
{
    solve_info build;
    build.attrs = std::move(attrs);
    return find_affinity_key(build, {shared_key, {}, {}}, default_key_sources());
}

}  // namespace

TEST_CASE("every way to write the address of a repository gives one key, without credentials")
{
    for (const char* url :
         {"https://example.test/team/app.git", "https://example.test/team/app", "https://Example.TEST/team/app/",
          "https://user:secret@example.test/team/app.git", "https://example.test:443/team/app.git?token=secret",
          "ssh://git@example.test/team/app.git", "ssh://git@example.test:22/team/app.git",
          "git@example.test:team/app.git", "git://example.test/team/app.git#main:dir"}) {
        INFO(url);
        CHECK(normalized_url(url) == "example.test/team/app");
    }
    CHECK(normalized_url("https://example.test:8443/team/app") == "example.test:8443/team/app");
    for (const char* other : {"", ".", "../app", "app", "dir/a@b:c"}) {
        INFO(other);
        CHECK(normalized_url(other).empty());
    }
}

TEST_CASE("the first source that a build has is its key")
{
    const auto named = key_of({{"build-arg:BUILDKIT_LB_KEY", "mine"}, {"vcs:source", "https://e.test/a.git"}});
    CHECK(named.value == "mine");
    CHECK(named.source == "build-arg:BUILDKIT_LB_KEY");
    CHECK(key_of({{"vcs:source", "git@e.test:a.git"}, {"context", "https://e.test/b.git"}}).value == "e.test/a");
    CHECK(key_of({{"context", "https://e.test/b.git#main"}}, "app:node").value == "e.test/b");
    CHECK(key_of({{"input:context", "https://e.test/b.git"}}).source == "context");
    CHECK(key_of({{"context", "local"}}, "app:r4nd0m").value == "app");
    CHECK(key_of({{"filename", "Dockerfile"}}).value.empty());
}

TEST_CASE("a long key is cut, and an empty shared key is none")
{
    CHECK(key_of({{"build-arg:BUILDKIT_LB_KEY", std::string(4000, 'x')}}).value.size() == 512);
    CHECK(key_of({}, ":node").value.empty());
}

TEST_CASE("who the client is can be the key, and what is built makes it finer")
{
    solve_info build;
    build.attrs = {{"vcs:source", "https://e.test/a.git"}, {"target", "test"}, {"vcs:localdir:context", "sub"}};
    const key_surroundings around{"app:node", "10.0.0.7", "Team-A.builds.example:1234"};
    const auto key = [&](const std::vector<std::string>& sources) {
        return find_affinity_key(build, around, sources).value;
    };
    CHECK(key({"authority", "vcs:source"}) == "team-a.builds.example");
    CHECK(key({"source-ip"}) == "10.0.0.7");
    CHECK(key({"vcs:source", "target", "vcs:localdir:context"}) == "e.test/a target=test vcs:localdir:context=sub");
    CHECK(key({"target", "platform"}).empty());
    for (const char* none : {"", "localhost", "localhost:1234"}) {
        INFO(none);
        CHECK(find_affinity_key(build, {{}, {}, none}, {"authority"}).value.empty());
    }
    CHECK(find_affinity_key(build, {{}, {}, "[2001:db8::1]:1234"}, {"authority"}).value == "[2001:db8::1]");
}
