#include "buildkit/methods.hpp"

#include <catch2/catch.hpp>
#include <string>
#include <utility>
#include <vector>

using namespace buildkit_lb::buildkit;

TEST_CASE("every call of BuildKit's services has its kind and its own name as label")
{
    const std::vector<std::pair<std::string, method>> paths{
        {"/moby.buildkit.v1.Control/Solve", method::control_solve},
        {"/moby.buildkit.v1.Control/Status", method::control_status},
        {"/moby.buildkit.v1.Control/Session", method::control_session},
        {"/moby.buildkit.v1.Control/ListWorkers", method::list_workers},
        {"/moby.buildkit.v1.Control/Info", method::info},
        {"/moby.buildkit.v1.Control/DiskUsage", method::disk_usage},
        {"/moby.buildkit.v1.Control/Prune", method::prune},
        {"/moby.buildkit.v1.Control/ListenBuildHistory", method::listen_history},
        {"/moby.buildkit.v1.Control/UpdateBuildHistory", method::update_history},
        {"/moby.buildkit.v1.frontend.LLBBridge/Ping", method::llb_ping},
        {"/moby.buildkit.v1.frontend.LLBBridge/Solve", method::llb_solve},
        {"/moby.buildkit.v1.frontend.LLBBridge/Return", method::llb_return},
        {"/moby.buildkit.v1.frontend.LLBBridge/NewContainer", method::llb_container},
        {"/moby.buildkit.v1.frontend.LLBBridge/ReleaseContainer", method::llb_container},
        {"/moby.buildkit.v1.frontend.LLBBridge/ExecProcess", method::llb_container},
        {"/moby.buildkit.v1.frontend.LLBBridge/ReadFileContainer", method::llb_container},
        {"/moby.buildkit.v1.frontend.LLBBridge/ReadDirContainer", method::llb_container},
        {"/moby.buildkit.v1.frontend.LLBBridge/StatFileContainer", method::llb_container},
        {"/moby.buildkit.v1.frontend.LLBBridge/ReadFile", method::llb_ref},
        {"/moby.buildkit.v1.frontend.LLBBridge/ReadDir", method::llb_ref},
        {"/moby.buildkit.v1.frontend.LLBBridge/StatFile", method::llb_ref},
        {"/moby.buildkit.v1.frontend.LLBBridge/Evaluate", method::llb_ref},
        {"/moby.buildkit.v1.frontend.LLBBridge/Inputs", method::llb_question},
        {"/moby.buildkit.v1.frontend.LLBBridge/ResolveImageConfig", method::llb_question},
        {"/moby.buildkit.v1.frontend.LLBBridge/ResolveSourceMeta", method::llb_question},
        {"/moby.buildkit.v1.frontend.LLBBridge/Warn", method::llb_question},
        {"/containerd.services.content.v1.Content/Info", method::content_info},
        {"/containerd.services.content.v1.Content/Read", method::content_read},
        {"/containerd.services.content.v1.Content/Status", method::content_other},
        {"/opentelemetry.proto.collector.trace.v1.TraceService/Export", method::trace_export},
        {"/grpc.health.v1.Health/Check", method::health_check},
        {"/grpc.health.v1.Health/Watch", method::health_watch},
        {"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", method::reflection},
        {"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", method::reflection},
    };
    for (const auto& [path, kind] : paths) {
        CAPTURE(path);
        CHECK(classify(path).kind == kind);
        CHECK(classify(path).label == path.substr(1));
    }
}

TEST_CASE("a path that is not known exactly is unknown and shares one label")
{
    for (const std::string path : {"", "/", "moby.buildkit.v1.Control/Solve", "/moby.buildkit.v1.Control/Solve/",
                                   "/moby.buildkit.v1.Control/solve", "/moby.buildkit.v1.Control/",
                                   "/moby.buildkit.v1.Control/Other", "/zzz", "/a", "//"}) {
        CAPTURE(path);
        CHECK(classify(path).kind == method::unknown);
        CHECK(classify(path).label == "other");
    }
}

TEST_CASE("a method newer than the table still belongs to its build or its digest")
{
    CHECK(classify("/moby.buildkit.v1.frontend.LLBBridge/Invented").kind == method::llb_other);
    CHECK(classify("/moby.buildkit.v1.frontend.LLBBridge/Invented").label == "other");
    CHECK(classify("/containerd.services.content.v1.Content/Invented").kind == method::content_other);
}

TEST_CASE("bridge and content calls are told from the others")
{
    CHECK(is_bridge(method::llb_ping));
    CHECK(is_bridge(method::llb_other));
    CHECK(is_bridge(method::llb_container));
    CHECK_FALSE(is_bridge(method::update_history));
    CHECK_FALSE(is_bridge(method::content_info));
    CHECK(is_content(method::content_info));
    CHECK(is_content(method::content_other));
    CHECK_FALSE(is_content(method::llb_other));
    CHECK_FALSE(is_content(method::trace_export));
}

TEST_CASE("the trace id is read from a traceparent header, and nothing from one that is malformed")
{
    CHECK(trace_id_of("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01") == "0af7651916cd43dd8448eb211c80319c");
    for (const char* bad :
         {"", "00-", "00-0af7651916cd43dd8448eb211c80319c", "00-0AF7651916cd43dd8448eb211c80319c-b7-01",
          "00-00000000000000000000000000000000-b7ad6b7169203331-01", "0af7651916cd43dd8448eb211c80319c"}) {
        INFO(bad);
        CHECK(trace_id_of(bad).empty());
    }
}
