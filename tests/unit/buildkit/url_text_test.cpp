#include "buildkit/url_text.hpp"

#include <catch2/catch.hpp>

using namespace buildkit_lb::buildkit;

TEST_CASE("every way to write the address of a repository gives one key, without credentials")
{
    for (const char* url :
         {"https://example.test/team/app.git", "https://example.test/team/app", "https://Example.TEST/team/app/",
          "HTTPS://example.test//team/app.git/", "https://user:secret@example.test/team/app.git",
          "https://example.test/team/app/.git", "https://xxxxx:xxxxx@example.test/team/app.git",
          "https://user:p@ss:w@example.test/team/app", "https://example.test:443/team/app.git?token=secret",
          "http://example.test:80/team/app", "ssh://git@example.test/team/app.git",
          "ssh://git@example.test:22/team/app.git", "ssh://git@example.test:2222/team/app.git",
          "git+ssh://git@example.test/team/app.git", "git@example.test:team/app.git", "git@example.test:/team/app.git",
          "git@Example.test:team/app.git#main", "git://example.test/team/app.git#main:dir",
          "git://example.test:9418/team/app.git"}) {
        INFO(url);
        CHECK(normalized_url(url) == "example.test/team/app");
        CHECK(normalized_remote(url) == "example.test/team/app");
    }
    CHECK(normalized_url("https://example.test:8443/team/app") == "example.test:8443/team/app");
    CHECK(normalized_url("https://[2001:DB8::1]/team/app.git") == "[2001:db8::1]/team/app");
    CHECK(normalized_url("https://[2001:db8::1]:8443/team/app.git") == "[2001:db8::1]:8443/team/app");
    CHECK(normalized_url("https://example.test") == "example.test");
    CHECK(normalized_url("https://example.test/@scope/app@1.tgz") == "example.test/@scope/app@1.tgz");
    for (const char* other : {"", ".", "../app", "app", "dir/a@b:c", "docker-image://alpine", "://x", "git@host",
                              "git@host:", "local:other", "input:0-b", "target:base", "C:/src/app"}) {
        INFO(other);
        CHECK(normalized_url(other).empty());
    }
}

TEST_CASE("a remote that is a path, or lacks its user, is a key too")
{
    CHECK(normalized_remote("example.test:team/app.git") == "example.test/team/app");
    CHECK(normalized_remote("/srv/git/app.git") == "/srv/git/app");
    CHECK(normalized_remote("file:///srv/git/app.git/") == "/srv/git/app");
    CHECK(normalized_remote("../app") == "../app");
    CHECK(normalized_remote("C:/src/app") == "c:/src/app");
    CHECK(normalized_remote("").empty());
    CHECK(normalized_remote("user:secret@example.test/team/app.git") == "example.test/team/app");
    CHECK(normalized_remote("codecommit::eu://user:secret@repo") == "codecommit::eu://repo");
}

TEST_CASE("a URL whose port is none gives no key: it may be a piece of a password")
{
    for (const char* url : {"https://user:sec/ret@example.test/app.git", "https://user:sec#ret@example.test/app.git",
                            "https://user:sec?ret@example.test/app.git"}) {
        INFO(url);
        CHECK(normalized_url(url).empty());
        CHECK(normalized_remote(url).find("sec") == std::string::npos);
        CHECK(normalized_remote(url).find("ret") == std::string::npos);
    }
}

TEST_CASE("credentials and queries of URLs are left out of a text, the rest of it stays")
{
    const auto bare = [](const char* text) { return without_credentials(text); };
    CHECK(bare("no URL: a@b, c://") == "no URL: a@b, c://");
    CHECK(bare("Get \"http://robot:s3cret@e.test:1/app.tar?token=s3cret\": dial tcp") ==
          "Get \"http://e.test:1/app.tar\": dial tcp");
    CHECK(bare("failed to fetch https://s3cret@e.test/app.git#main: exit 128; see https://e.test/help") ==
          "failed to fetch https://e.test/app.git: exit 128; see https://e.test/help");
    CHECK(bare("ftp://a:s3cret@e.test/x svn+ssh://b:s3cret@f.test") == "ftp://e.test/x svn+ssh://f.test");
    CHECK(bare("https://user:s3/cret@e.test/app.git") == "https://e.test/app.git");
    CHECK(bare("https://bob@corp.test:s3/cret@e.test/app.git") == "https://e.test/app.git");  // found by a fuzzer
    CHECK(bare("https://e.test/@scope/app@1.tgz") == "https://e.test/@scope/app@1.tgz");
    CHECK(bare("(https://e.test/?s3cret)") == "(https://e.test/)");
    CHECK(bare("").empty());
}
