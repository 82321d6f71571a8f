#include "buildkit/solve_info.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <random>
#include <string>

#include "buildkit/wire/control.pb.h"
#include "buildkit/wire/gateway.pb.h"

using namespace buildkit_lb;
using namespace buildkit_lb::buildkit;
using wire::control::SolveRequest;

namespace {

using texts = std::vector<std::string>;

/// A serialized op with a source that names a session.
std::string source_op(const std::string& key, const std::string& value)
{
    wire::ops::Op op;
    op.mutable_source()->set_identifier("local://context");
    (*op.mutable_source()->mutable_attrs())["local.followpaths"] = "[\"Dockerfile\"]";
    (*op.mutable_source()->mutable_attrs())[key] = value;
    return op.SerializeAsString();
}

/// A definition within build ops, `depth` of them.
wire::ops::Definition nested(int depth, const std::string& session)
{
    wire::ops::Definition inner;
    inner.add_def(source_op("local.session", session));
    for (int i = 0; i < depth; ++i) {
        wire::ops::Op op;
        *op.mutable_build()->mutable_def() = inner;
        wire::ops::Definition outer;
        outer.add_def(op.SerializeAsString());
        inner = outer;
    }
    return inner;
}

/// What buildx sends: no definition, the Dockerfile's options as attributes.
SolveRequest typical()
{
    SolveRequest request;
    request.set_ref("ref1");
    request.set_session("main");
    auto& attrs = *request.mutable_frontendattrs();
    attrs["filename"] = "Dockerfile";
    attrs["vcs:source"] = "https://example.test/team/app.git";
    attrs["local-sessionid:context"] = "shared";
    request.add_exporters()->set_type("image");
    request.add_exporters()->set_type("local");
    return request;
}

solve_info parsed(const SolveRequest& request)
{
    auto info = parse_solve(request.SerializeAsString());
    REQUIRE(info.has_value());
    return *info;
}

errc refusal(const std::string& bytes)
{
    const auto info = parse_solve(bytes);
    REQUIRE_FALSE(info.has_value());
    CHECK(info.error().source == failure_source::downstream);
    return info.error().code;
}

}  // namespace

TEST_CASE("a Solve of buildx tells its ref, sessions, attributes and exporters")
{
    const solve_info info = parsed(typical());
    CHECK(info.ref == "ref1");
    CHECK(info.session == "main");
    CHECK_FALSE(info.internal);
    CHECK_FALSE(info.linked);
    CHECK(info.frontend.empty());
    CHECK(info.attr("vcs:source") == "https://example.test/team/app.git");
    CHECK(info.attr("absent").empty());
    CHECK(info.attrs.size() == 3);
    CHECK_FALSE(info.attrs_left_out);
    CHECK(info.sessions == texts{"main", "shared"});
    CHECK(info.exporters == texts{"image", "local"});
}

TEST_CASE("an empty Solve is well formed and says nothing")
{
    const auto info = parse_solve("");
    REQUIRE(info.has_value());
    CHECK(info->ref.empty());
    CHECK(info->sessions.empty());
}

TEST_CASE("internal and linked builds are told from the others")
{
    SolveRequest request = typical();
    request.set_internal(true);
    CHECK(parsed(request).internal);

    request = typical();
    (*request.mutable_frontendattrs())["context:base"] = "input:base";
    CHECK(parsed(request).linked);

    // The prefix in the key is buildx's note of where a git context came from.
    request = typical();
    (*request.mutable_frontendattrs())["input:context"] = "https://example.test/team/app.git";
    CHECK_FALSE(parsed(request).linked);
    (*request.mutable_frontendattrs())["context:base"] = "docker-image://input:1";
    CHECK_FALSE(parsed(request).linked);
}

TEST_CASE("every place that names a session is read, each session once")
{
    SolveRequest request;
    request.set_session("s1");
    request.set_sourcepolicysession("s2");
    (*request.mutable_frontendattrs())["local-sessionid:dockerfile"] = "s3";
    (*request.mutable_frontendattrs())["local-sessionid:other"] = "s1";
    request.mutable_definition()->add_def(source_op("local.session", "s4"));
    request.mutable_definition()->add_def(source_op("oci.session", "prefix:s5"));
    request.mutable_definition()->add_def(source_op("local.session", "s4"));
    (*request.mutable_frontendinputs())["base"].add_def(source_op("local.session", "a:s6"));
    (*request.mutable_frontendinputs())["base2"] = nested(1, "s7");
    solve_info info = parsed(request);
    REQUIRE_FALSE(info.sessions.empty());
    CHECK(info.sessions.front() == "s1");
    std::sort(info.sessions.begin(), info.sessions.end());
    CHECK(info.sessions == texts{"s1", "s2", "s3", "s4", "s5", "s6", "s7"});
}

TEST_CASE("other attributes of a source op and other ops name no session")
{
    SolveRequest request;
    request.mutable_definition()->add_def(source_op("local.unique", "not-a-session"));
    request.mutable_definition()->add_def("");
    // An exec op: field 2 with something in it.
    request.mutable_definition()->add_def("\x12\x04\x0a\x02hi");
    CHECK(parsed(request).sessions.empty());
}

TEST_CASE("the prefix before a session id is dropped as BuildKit drops it")
{
    CHECK(without_session_prefix("abc") == "abc");
    CHECK(without_session_prefix("p:abc") == "abc");
    CHECK(without_session_prefix("p:q:abc") == "q:abc");
    CHECK(without_session_prefix("abc:") == "abc:");
    CHECK(without_session_prefix(":abc") == "abc");
    CHECK(without_session_prefix("").empty());
}

TEST_CASE("the exporter of older clients is used when there is no newer one")
{
    SolveRequest request;
    request.set_exporterdeprecated("docker");
    CHECK(parsed(request).exporters == texts{"docker"});
    request.add_exporters()->set_type("oci");
    CHECK(parsed(request).exporters == texts{"oci"});
}

TEST_CASE("attributes that are not UTF-8 are taken as they are")
{
    SolveRequest request;
    (*request.mutable_frontendattrs())["build-arg:NAME"] = "caf\xe9";
    CHECK(parsed(request).attr("build-arg:NAME") == "caf\xe9");
}

TEST_CASE("attributes over the bounds are left out and the rest is kept")
{
    SolveRequest request = typical();
    (*request.mutable_frontendattrs())["build-arg:BIG"] = std::string(max_attr_size, 'x');
    solve_info info = parsed(request);
    CHECK(info.attrs_left_out);
    CHECK(info.attr("build-arg:BIG").empty());
    CHECK(info.attr("filename") == "Dockerfile");

    for (std::size_t i = 0; i < max_attrs + 100; ++i) {
        (*request.mutable_frontendattrs())["k" + std::to_string(i)] = std::string(1000, 'y');
    }
    info = parsed(request);
    CHECK(info.attrs_left_out);
    CHECK(info.attrs.size() <= max_attrs);
    std::size_t size = 0;
    for (const auto& [key, value] : info.attrs) {
        size += key.size() + value.size();
    }
    CHECK(size <= max_attrs_size);
    CHECK(info.sessions == texts{"main", "shared"});

    request = typical();
    for (std::size_t i = 0; i < 2 * max_attrs; ++i) {
        (*request.mutable_frontendattrs())["k" + std::to_string(i)] = "y";
    }
    info = parsed(request);
    CHECK(info.attrs_left_out);
    CHECK(info.attrs.size() == max_attrs);
}

TEST_CASE("a later value of the same attribute replaces the earlier one without being counted twice")
{
    std::string bytes;
    for (std::size_t i = 0; i < 2 * max_attrs; ++i) {
        SolveRequest request;
        (*request.mutable_frontendattrs())["key"] = std::string(1000, 'z') + std::to_string(i);
        bytes += request.SerializeAsString();
    }
    const auto info = parse_solve(bytes);
    REQUIRE(info.has_value());
    CHECK_FALSE(info->attrs_left_out);
    REQUIRE(info->attrs.size() == 1);
    CHECK(info->attr("key").ends_with("z" + std::to_string(2 * max_attrs - 1)));

    // Also when the map is as full as it may be.
    bytes.clear();
    for (std::size_t i = 0; i < max_attrs_size / max_attr_size; ++i) {
        SolveRequest request;
        (*request.mutable_frontendattrs())[std::to_string(100 + i)] = std::string(max_attr_size - 3, 'f');
        bytes += request.SerializeAsString();
    }
    SolveRequest last;
    (*last.mutable_frontendattrs())["100"] = std::string(max_attr_size - 3, 'g');
    const auto full = parse_solve(bytes + last.SerializeAsString());
    REQUIRE(full.has_value());
    CHECK_FALSE(full->attrs_left_out);
    CHECK(full->attr("100").front() == 'g');
}

TEST_CASE("sessions, refs and nesting over their bounds are refused")
{
    SolveRequest request;
    for (std::size_t i = 0; i < max_sessions; ++i) {
        request.mutable_definition()->add_def(source_op("local.session", "s" + std::to_string(i)));
    }
    CHECK(parsed(request).sessions.size() == max_sessions);
    request.set_session("one more");
    CHECK(refusal(request.SerializeAsString()) == errc::too_many);

    request = typical();
    request.set_session(std::string(max_session_length + 1, 's'));
    CHECK(refusal(request.SerializeAsString()) == errc::too_large);

    request = typical();
    request.set_ref(std::string(max_ref_length + 1, 'r'));
    CHECK(refusal(request.SerializeAsString()) == errc::too_large);

    request = typical();
    *request.mutable_definition() = nested(7, "deep");
    CHECK(parsed(request).sessions == texts{"main", "deep", "shared"});
    *request.mutable_definition() = nested(8, "deep");
    CHECK(refusal(request.SerializeAsString()) == errc::protocol);
    *request.mutable_definition() = nested(5000, "deep");
    CHECK(refusal(request.SerializeAsString()) == errc::protocol);
}

TEST_CASE("a Solve cut anywhere is read or refused, never more")
{
    SolveRequest request = typical();
    request.mutable_definition()->add_def(source_op("local.session", "s4"));
    (*request.mutable_frontendinputs())["base"] = nested(2, "s5");
    const std::string whole = request.SerializeAsString();
    std::size_t refused = 0;
    for (std::size_t size = 0; size < whole.size(); ++size) {
        refused += parse_solve(whole.substr(0, size)) ? 0U : 1U;
    }
    // It can only be cut between two fields, of which there are nine.
    CHECK(refused >= whole.size() - 10);
}

TEST_CASE("malformed parts are refused wherever they are")
{
    CHECK(refusal("\xff") == errc::protocol);
    CHECK(refusal(std::string("\x28\x01", 2)) == errc::protocol);                  // Session as a number
    CHECK(refusal("\x5a\x01x") == errc::protocol);                                 // Internal as a text
    CHECK(refusal("\x3a\x02\x0a\x05") == errc::protocol);                          // an attribute cut
    CHECK(refusal("\x52\x02\x12\x05") == errc::protocol);                          // an input cut
    CHECK(refusal("\x6a\x02\x0a\x05") == errc::protocol);                          // an exporter cut
    CHECK(refusal("\x12\x02\x0a\x05") == errc::protocol);                          // the definition cut
    CHECK(refusal("\x12\x04\x0a\x02\x1a\x05") == errc::protocol);                  // an op cut
    CHECK(refusal("\x12\x06\x0a\x04\x1a\x02\x12\x05") == errc::protocol);          // a source cut
    CHECK(refusal("\x12\x08\x0a\x06\x1a\x04\x12\x02\x12\x05") == errc::protocol);  // its attribute cut
    CHECK(refusal("\x12\x06\x0a\x04\x2a\x02\x1a\x05") == errc::protocol);          // a build op cut
}

TEST_CASE("random changes of a request never do harm")
{
    SolveRequest request = typical();
    request.mutable_definition()->add_def(source_op("local.session", "s4"));
    (*request.mutable_frontendinputs())["base"] = nested(2, "s5");
    const std::string whole = request.SerializeAsString();
    std::minstd_rand random{1};
    for (int round = 0; round < 20'000; ++round) {
        std::string bytes = whole;
        for (int i = 0; i < 3; ++i) {
            bytes[random() % bytes.size()] = static_cast<char>(random());
        }
        const auto info = parse_solve(bytes);
        const auto bridge = parse_bridge_solve(bytes);
        CHECK((!info || info->sessions.size() <= max_sessions));
        CHECK((!bridge || bridge->sessions.size() <= max_sessions));
    }
}

TEST_CASE("a LLBBridge Solve names sessions in its options, definition and inputs")
{
    wire::gateway::SolveRequest request;
    request.set_frontend("dockerfile.v0");
    auto& options = *request.mutable_frontendopt();
    options["local-sessionid:context"] = "b1";
    options["context:base"] = "input:base";
    request.mutable_definition()->add_def(source_op("oci.session", "b2"));
    (*request.mutable_frontendinputs())["base"].add_def(source_op("local.session", "x:b3"));
    const auto info = parse_bridge_solve(request.SerializeAsString());
    REQUIRE(info.has_value());
    CHECK(info->frontend == "dockerfile.v0");
    CHECK(info->linked);
    texts sessions = info->sessions;
    std::sort(sessions.begin(), sessions.end());
    CHECK(sessions == texts{"b1", "b2", "b3"});

    CHECK_FALSE(parse_bridge_solve("\x0a\x05").has_value());
    CHECK_FALSE(parse_bridge_solve("\x1a\x02\x0a\x05").has_value());
    const auto nothing = parse_bridge_solve("");
    REQUIRE(nothing.has_value());
    CHECK_FALSE(nothing->linked);
}

TEST_CASE("the ref or digest of the smaller requests is read")
{
    wire::control::StatusRequest status;
    status.set_ref("r1");
    CHECK(*parse_status_ref(status.SerializeAsString()) == "r1");
    wire::control::BuildHistoryRequest history;
    history.set_activeonly(true);
    history.set_ref("r2");
    history.set_earlyexit(true);
    CHECK(*parse_history_ref(history.SerializeAsString()) == "r2");
    wire::control::UpdateBuildHistoryRequest update;
    update.set_ref("r3");
    update.set_pinned(true);
    CHECK(*parse_update_history_ref(update.SerializeAsString()) == "r3");
    CHECK(parse_status_ref("")->empty());
    CHECK_FALSE(parse_status_ref("\x0a\x05x").has_value());
    status.set_ref(std::string(max_ref_length + 1, 'r'));
    const auto refused = parse_status_ref(status.SerializeAsString());
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == errc::too_large);
}

TEST_CASE("sixteen mebibytes of empty parts are read without growing")
{
    std::string bytes;
    for (int i = 0; i < (1 << 20); ++i) {
        bytes.append("\x3a\0\x6a\0\x52\0\x12\0\x12\x02\x0a\0", 12);  // attribute, exporter, input, definitions
    }
    const auto info = parse_solve(bytes);
    REQUIRE(info.has_value());
    CHECK(info->attrs.size() == 1);
    CHECK(info->exporters.size() == max_exporters);
    CHECK(info->sessions.empty());
}

namespace {

std::string remote_op(const std::string& identifier, const std::string& full_url = {})
{
    wire::ops::Op op;
    op.mutable_source()->set_identifier(identifier);
    if (!full_url.empty()) {
        (*op.mutable_source()->mutable_attrs())["git.fullurl"] = full_url;
        (*op.mutable_source()->mutable_attrs())["git.authtokensecret"] = "GIT_AUTH_TOKEN";
    }
    return op.SerializeAsString();
}

std::string source_of(const std::vector<std::string>& ops)
{
    SolveRequest request = typical();
    wire::gateway::SolveRequest bridge;
    for (const auto& op : ops) {
        request.mutable_definition()->add_def(op);
        bridge.mutable_definition()->add_def(op);
    }
    const auto named = parse_bridge_solve(bridge.SerializeAsString());
    REQUIRE(named.has_value());
    CHECK(named->remote_source == parsed(request).remote_source);
    return named->remote_source;
}

}  // namespace

TEST_CASE("the one repository of a definition is its remote source, else the one file from the web")
{
    // As the client's library writes them; buildctl sends what it reads on stdin in LLBBridge/Solve.
    const auto app = remote_op("git://127.0.0.1:46389/team/app.git#main", "http://127.0.0.1:46389/team/app.git");
    const auto over_ssh = remote_op("git://127.0.0.1/team/app.git#main", "git@127.0.0.1:team/app.git");
    const auto file = remote_op("http://robot:s3cret@127.0.0.1:35823/app.tar?x=1");
    CHECK(source_of({app}) == "http://127.0.0.1:46389/team/app.git");
    CHECK(source_of({over_ssh}) == "git@127.0.0.1:team/app.git");
    CHECK(source_of({file}) == "http://robot:s3cret@127.0.0.1:35823/app.tar?x=1");
    CHECK(source_of({file, app, file}) == "http://127.0.0.1:46389/team/app.git");
    CHECK(source_of({remote_op("git://127.0.0.1/team/app.git#dev"), over_ssh}) == "git://127.0.0.1/team/app.git#dev");
    CHECK(source_of({app, over_ssh}).empty());  // two servers
    CHECK(source_of({app, remote_op("git://127.0.0.1/other.git"), file}).empty());
    CHECK(source_of({file, remote_op("https://127.0.0.1/b.tar")}).empty());
    CHECK(source_of({source_op("local.session", "s"), remote_op("docker-image://docker.io/library/alpine")}).empty());
    CHECK(source_of({remote_op("https://e.test/" + std::string(max_attr_size, 'x'))}).empty());
}

TEST_CASE("what an input takes is not the definition's own source")
{
    SolveRequest request = typical();
    (*request.mutable_frontendinputs())["base"].add_def(remote_op("git://e.test/base.git"));
    CHECK(parsed(request).remote_source.empty());
    request.mutable_definition()->add_def(remote_op("git://e.test/app.git"));
    CHECK(parsed(request).remote_source == "git://e.test/app.git");
}
