"""Workers are killed while they are sent a context or send a result: what arrives is whole, and what it would have been."""

import filecmp

import pytest

from harness import contexts, failover
from harness.bake import tree
from harness.clients import VERSIONS
from harness.failover import balancer, let_others_in, line

LOCAL, TAR = failover.OUTPUTS[:2]
NEWEST_BUILDX = ("buildx", "current")


@pytest.mark.parametrize("program,version,size", [
    *[(*client, failover.BIG) for client in VERSIONS], (*NEWEST_BUILDX, 1 << 30)])
def test_the_upload_of_a_context_begins_again(stack, tmp_path, program, version, size):
    first, second = workers = stack.workers("current", "v0.13")
    lb = balancer(stack, workers)
    context = failover.upload(tmp_path / "context", size)
    moments = failover.Moments(lb)
    build = stack.client(program, version).start_build(lb.address, context)
    moments.placed()
    let_others_in(lb, workers)
    moments.uploading(build)
    first.kill()
    ended = build.wait(150).check()
    assert line(first, second) in ended.output
    assert (ended.out / "small").read_text() == "small\n"
    assert filecmp.cmp(ended.out / "big", context / "big", shallow=False)


def interrupted_export(stack, folder, program, version, output):
    """(the worker that was killed, the other one, how the build ended, the registry)"""
    registry = stack.registry()
    first, second = workers = stack.workers("current", "current")
    lb = balancer(stack, workers)
    build = stack.client(program, version).start_build(lb.address, failover.export(folder), args={"ID": "x"},
                                                       **output.of(registry, "x"))
    failover.Moments.exporting(build, output)
    let_others_in(lb, workers)
    first.kill()
    build.resume()
    return first, second, build.wait(150), registry


@pytest.mark.parametrize("program,version,output", [
    *[(*client, LOCAL) for client in VERSIONS],
    *[(*NEWEST_BUILDX, output) for output in failover.OUTPUTS[1:]]], ids=lambda p: getattr(p, "name", p))
def test_an_export_begins_again(stack, tmp_path, program, version, output):
    first, second, ended, registry = interrupted_export(stack, tmp_path / "context", program, version, output)
    ended.check()
    assert line(first, second) in ended.output
    assert not output.wrong(ended, registry, "x", {"id": 2, "big": failover.EXPORTED})


@pytest.mark.parametrize("program,version", [client for client in VERSIONS if client != NEWEST_BUILDX])
def test_a_file_that_has_begun_is_not_begun_again_by_other_clients(stack, tmp_path, program, version):
    _, _, ended, _ = interrupted_export(stack, tmp_path / "context", program, version, TAR)
    assert not ended.ok and "file already closed" in ended.output, ended.output


@pytest.mark.parametrize("program,version", VERSIONS)
def test_the_image_is_the_one_that_a_direct_build_pushes(stack, tmp_path, program, version):
    first, second = workers = stack.workers("current", "current")
    registry = stack.registry()
    lb = balancer(stack, workers)
    client = stack.client(program, version)
    context = contexts.dockerfile(tmp_path / "context", """\
FROM base AS work
COPY file /
RUN echo "step image is running" && sleep 3 && mkdir /made && cp /file /made
FROM scratch
COPY --from=work /made /
CMD ["/file"]
""", {"file": "a file\n"})
    # What makes an image the same whenever it is built.
    same = {"args": {"SOURCE_DATE_EPOCH": "1700000000"}, "extra": ["--provenance=false"] if program == "buildx" else []}
    image = f"type=image,name={registry.host}/%s,push=true,rewrite-timestamp=true"
    build = client.start_build(lb.address, context, output=image % "moved", **same)
    build.wait_step("image")
    let_others_in(lb, workers)
    first.kill()
    ended = build.wait(60).check()
    assert line(first, second) in ended.output
    first.start()
    client.build(first.address, context, output=image % "direct", no_cache=True, **same).check()
    assert registry.manifest("moved", "latest") == registry.manifest("direct", "latest")
    assert not registry.missing("moved", "latest")
    folder = client.build(lb.address, context, **same).check().out
    assert tree(folder) == {"file": b"a file\n"}
