#include "buildkit/oldest_worker.hpp"

#include <string_view>

#include "buildkit/wire/gateway.pb.h"

namespace buildkit_lb::buildkit {
namespace {

constexpr std::string_view frontend_capabilities[] = {"frontend.caps",
                                                      "frontend.inputs",
                                                      "gateway.evaluate",
                                                      "gateway.exec",
                                                      "gateway.exec.extrahosts",
                                                      "gateway.exec.secretenv",
                                                      "gateway.exec.signals",
                                                      "gateway.solve.evaluate",
                                                      "gateway.solve.metadata",
                                                      "gateway.warnings",
                                                      "importcaches",
                                                      "proto.refarray",
                                                      "readdir",
                                                      "readfile",
                                                      "reference.attestations",
                                                      "reference.output",
                                                      "resolveimage",
                                                      "resolveimage.resolvemode",
                                                      "return",
                                                      "returnmap",
                                                      "solve.base",
                                                      "solve.inlinereturn",
                                                      "source.metaresolver",
                                                      "statfile"};

// One of them is misspelled in BuildKit too.
constexpr std::string_view llb_capabilities[] = {"cache.azblob",
                                                 "cache.gha",
                                                 "cache.s3",
                                                 "constraints",
                                                 "diffop",
                                                 "exec.cgroup",
                                                 "exec.meta.base",
                                                 "exec.meta.cgroup.parent",
                                                 "exec.meta.network",
                                                 "exec.meta.proxyenv",
                                                 "exec.meta.removemountstubs.recursive",
                                                 "exec.meta.security",
                                                 "exec.meta.security.devices.v1",
                                                 "exec.meta.setsdefaultpath",
                                                 "exec.meta.ulimit",
                                                 "exec.mount.bind",
                                                 "exec.mount.bind.readwrite-nooutput",
                                                 "exec.mount.cache",
                                                 "exec.mount.cache.content",
                                                 "exec.mount.cache.sharing",
                                                 "exec.mount.secret",
                                                 "exec.mount.selector",
                                                 "exec.mount.ssh",
                                                 "exec.mount.tmpfs",
                                                 "exec.mount.tmpfs.size",
                                                 "exec.secretenv",
                                                 "exporter.image.annotations",
                                                 "exporter.image.attestations",
                                                 "exporter.multiple",
                                                 "exporter.sourcedateepoch",
                                                 "file.base",
                                                 "file.copy.includeexcludepatterns",
                                                 "file.rm.nofollowsymlink",
                                                 "file.rm.wildcard",
                                                 "mergeop",
                                                 "meta.description",
                                                 "meta.exportcache",
                                                 "meta.ignorecache",
                                                 "platform",
                                                 "soruce.http.uidgid",
                                                 "source.buildop.llbfilename",
                                                 "source.git",
                                                 "source.git.fullurl",
                                                 "source.git.httpauth",
                                                 "source.git.keepgitdir",
                                                 "source.git.knownsshhosts",
                                                 "source.git.mountsshsock",
                                                 "source.git.subdir",
                                                 "source.http",
                                                 "source.http.checksum",
                                                 "source.http.perm",
                                                 "source.image",
                                                 "source.image.layerlimit",
                                                 "source.image.resolvemode",
                                                 "source.local",
                                                 "source.local.differ",
                                                 "source.local.excludepatterns",
                                                 "source.local.followpaths",
                                                 "source.local.includepatterns",
                                                 "source.local.sessionid",
                                                 "source.local.sharedkeyhint",
                                                 "source.local.unique",
                                                 "source.ocilayout",
                                                 "source.policy"};

#if defined(__aarch64__)
constexpr const char* architecture = "arm64";
#else
constexpr const char* architecture = "amd64";
#endif

wire::types::WorkerRecord unseen()
{
    wire::types::WorkerRecord record;
    record.set_id("unseen");
    auto& platform = *record.add_platforms();
    platform.set_os("linux");
    platform.set_architecture(architecture);
    return record;
}

template <class Caps, class List>
void enable(Caps& caps, const List& ids)
{
    for (const std::string_view id : ids) {
        auto& cap = *caps.Add();
        cap.set_id(std::string{id});
        cap.set_enabled(true);
    }
}

}  // namespace

const std::string& oldest_pong()
{
    static const std::string pong = [] {
        wire::gateway::PongResponse made;
        enable(*made.mutable_frontendapicaps(), frontend_capabilities);
        enable(*made.mutable_llbcaps(), llb_capabilities);
        *made.add_workers() = unseen();
        return made.SerializeAsString();
    }();
    return pong;
}

const std::string& unseen_worker_record()
{
    static const std::string record = unseen().SerializeAsString();
    return record;
}

}  // namespace buildkit_lb::buildkit
