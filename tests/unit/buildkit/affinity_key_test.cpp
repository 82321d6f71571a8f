#include "buildkit/affinity_key.hpp"

#include <catch2/catch.hpp>

using namespace buildkit_lb::buildkit;

// The attributes and shared keys below are what clients sent: buildx v0.38.2 and v0.13.0, buildctl v0.34.2 and v0.13.0.

namespace {

affinity_key key_of(attr_map attrs, std::string_view shared_key = {}, std::string remote_source = {})
{
    solve_info build;
    build.attrs = std::move(attrs);
    build.remote_source = std::move(remote_source);
    return find_affinity_key(build, {shared_key, {}, {}}, default_key_sources());
}

void check_key(const affinity_key& key, const char* value, const char* source)
{
    CHECK(key.value == value);
    CHECK(key.source == source);
}

}  // namespace

TEST_CASE("a directory that is no git checkout is known by its name, whatever machine it is on")
{
    const attr_map attrs{
        {"attest:provenance", "mode=min,inline-only=true"}, {"build-arg:ID", "1"}, {"filename", "Dockerfile"}};
    check_key(key_of(attrs, "plain-app:58e2f4f38a94f11b"), "plain-app", "shared-key");
    check_key(key_of(attrs, "plain-app:683c6715b7d0dc74"), "plain-app", "shared-key");
    check_key(key_of(attrs, "with:colon:683c6715b7d0dc74"), "with:colon", "shared-key");
}

TEST_CASE("a git checkout is known by its remote: over https or ssh, as the newest and the oldest buildx write it")
{
    attr_map attrs{{"build-arg:ID", "1"},
                   {"filename", "Dockerfile"},
                   {"vcs:localdir:context", "web"},
                   {"vcs:localdir:dockerfile", "web"},
                   {"vcs:revision", "93854011e20732c9e0de0fb46a948575821335a9"}};
    for (const char* remote : {"https://xxxxx:xxxxx@example.test/team/app.git",  // of one with credentials, newest
                               "https://example.test/team/app.git",              // the same, v0.13
                               "git@example.test:team/app.git", "ssh://git@example.test:2222/team/app.git"}) {
        INFO(remote);
        attrs["vcs:source"] = remote;
        check_key(key_of(attrs, "checkout:58e2f4f38a94f11b"), "example.test/team/app", "vcs:source");
    }
    // A checkout without a remote has a revision only.
    attrs.erase("vcs:source");
    check_key(key_of(attrs, "checkout:58e2f4f38a94f11b"), "checkout", "shared-key");
}

TEST_CASE("a context that is a URL is known by it: repositories and tarballs, with credentials and queries")
{
    const auto of = [](const char* url) { return key_of({{"build-arg:ID", "1"}, {"context", url}}); };
    check_key(of("http://127.0.0.1:46389/team/app.git#main"), "127.0.0.1:46389/team/app", "context");
    check_key(of("http://robot:s3cret@127.0.0.1:46389/team/app.git#main"), "127.0.0.1:46389/team/app", "context");
    check_key(of("http://127.0.0.1:46389/team/app.git?branch=main"), "127.0.0.1:46389/team/app", "context");
    check_key(of("git@127.0.0.1:team/app.git"), "127.0.0.1/team/app", "context");
    check_key(of("http://127.0.0.1:46389/app.tar"), "127.0.0.1:46389/app.tar", "context");
    check_key(of("http://robot:s3cret@127.0.0.1:46389/app.tar?token=s3cret"), "127.0.0.1:46389/app.tar", "context");
    // The newest buildx where it hands on the context as an input (BUILDX_SEND_GIT_QUERY_AS_INPUT).
    check_key(key_of({{"filename", "Dockerfile"},
                      {"input:context", "http://robot:s3cret@127.0.0.1:46389/team/app.git?branch=main"}}),
              "127.0.0.1:46389/team/app", "context");
}

TEST_CASE("named contexts do not make a key: the main one does")
{
    check_key(key_of({{"context:other", "local:other"},
                      {"filename", "Dockerfile"},
                      {"frontend.caps", "moby.buildkit.frontend.contexts+forward"},
                      {"sharedkey:localdir:other", "other:58e2f4f38a94f11b"}},
                     "named-app:58e2f4f38a94f11b"),
              "named-app", "shared-key");
    check_key(key_of({{"context:other", "http://127.0.0.1:46389/team/app.git#main"},
                      {"filename", "Dockerfile"},
                      {"frontend.caps", "moby.buildkit.frontend.contexts+forward"}},
                     "named-app:58e2f4f38a94f11b"),
              "named-app", "shared-key");
    CHECK(key_of({{"context:other", "local:other"}}).value.empty());  // buildctl
}

TEST_CASE("each target of a bake has the key of its own context, a linked one too")
{
    check_key(
        key_of({{"build-arg:ID", "1"}, {"filename", "Dockerfile"}, {"vcs:source", "git@example.test:team/app.git"}},
               "checkout:58e2f4f38a94f11b"),
        "example.test/team/app", "vcs:source");
    check_key(key_of({{"context:other", "input:0-b"},
                      {"dockerfilekey", "dockerfile"},
                      {"filename", "Dockerfile"},
                      {"frontend.caps", "moby.buildkit.frontend.contexts+forward"},
                      {"input-metadata:0-b", R"({"containerimage.config":"eyJ9"})"}},
                     "named-app:58e2f4f38a94f11b"),
              "named-app", "shared-key");
    check_key(key_of({{"context", "http://127.0.0.1:46389/app.tar"}, {"filename", "Dockerfile"}}),
              "127.0.0.1:46389/app.tar", "context");
}

TEST_CASE("what a client makes up for each build is no key")
{
    // A tarball on stdin, both versions.
    CHECK(key_of({{"context", "http://buildkit-session/x8qfpx6xuu4xj14bzwbozd864"}, {"filename", "Dockerfile"}})
              .value.empty());
    // A Dockerfile on stdin: v0.13, newest.
    const attr_map attrs{{"build-arg:ID", "1"}, {"dockerfilekey", "dockerfile"}, {"filename", "Dockerfile"}};
    CHECK(key_of(attrs, "empty-dir1971805063:683c6715b7d0dc74").value.empty());
    CHECK(key_of(attrs).value.empty());
    check_key(key_of(attrs, "empty-directory:683c6715b7d0dc74"), "empty-directory", "shared-key");
    CHECK(key_of({}, ":683c6715b7d0dc74").value.empty());
    CHECK(key_of({{"build-arg:ID", "1"}}).value.empty());  // buildctl with local directories
}

TEST_CASE("a definition without a frontend is known by its one remote source")
{
    check_key(key_of({}, {}, "http://robot:s3cret@127.0.0.1:35823/team/app.git"), "127.0.0.1:35823/team/app",
              "context");
    check_key(key_of({}, {}, "git@127.0.0.1:team/app.git"), "127.0.0.1/team/app", "context");
    check_key(key_of({}, {}, "http://robot:s3cret@127.0.0.1:35823/app.tar?x=1"), "127.0.0.1:35823/app.tar", "context");
    check_key(key_of({{"build-arg:BUILDKIT_LB_KEY", "mine"}}, {}, "https://e.test/a.git"), "mine",
              "build-arg:BUILDKIT_LB_KEY");
}

TEST_CASE("the first source that a build has is its key")
{
    check_key(key_of({{"build-arg:BUILDKIT_LB_KEY", "team/x"},
                      {"build-arg:ID", "1"},
                      {"filename", "Dockerfile"},
                      {"label:team", "web"},
                      {"platform", "linux/amd64"},
                      {"target", "work"},
                      {"vcs:source", "https://e.test/a.git"}},
                     "plain-app:58e2f4f38a94f11b"),
              "team/x", "build-arg:BUILDKIT_LB_KEY");
    CHECK(key_of({{"vcs:source", "git@e.test:a.git"}, {"context", "https://e.test/b.git"}}).value == "e.test/a");
    CHECK(key_of({{"context", "https://e.test/b.git#main"}}, "app:node").value == "e.test/b");
    CHECK(key_of({{"context", "local"}}, "app:r4nd0m").value == "app");
}

TEST_CASE("a URL is without credentials wherever it comes from")
{
    // As CI systems hand it out, token and all.
    CHECK(key_of({{"build-arg:BUILDKIT_LB_KEY", "https://ci-token:s3cret@e.test/team/app.git"}}).value ==
          "e.test/team/app");
    CHECK(key_of({{"vcs:source", "ftp://user:s3cret@e.test/app"}}).value == "ftp://e.test/app");
    solve_info build;
    build.attrs = {{"label:org.opencontainers.image.source", "https://xxxxx:s3cret@example.test/team/app.git"},
                   {"target", "see https://user:s3cret@e.test/?s3cret"}};
    CHECK(find_affinity_key(build, {}, {"label:org.opencontainers.image.source", "target"}).value ==
          "example.test/team/app target=see https://e.test/");
}

TEST_CASE("a key is printable and not too long")
{
    CHECK(key_of({{"build-arg:BUILDKIT_LB_KEY", std::string(4000, 'x')}}).value == std::string(512, 'x') + "…");
    CHECK(key_of({{"build-arg:BUILDKIT_LB_KEY", "x" + std::string(2000, '\xFF')}}).value ==
          "x" + std::string(511, '?') + "…");
    CHECK(key_of({{"build-arg:BUILDKIT_LB_KEY", "a\n\x1B[2J\xC3\xA4"}}).value == "a??[2J\xC3\xA4");
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
