"""Single builds through a `protocol: buildkit` listener: every client, every worker, and what the balancer tells of
them."""

import uuid

import pytest

from harness import contexts, llb
from harness.bake import tree
from harness.balancer import buildkit_pool
from harness.clients import VERSIONS
from harness.stack import where

EVERY_CLIENT = pytest.mark.parametrize("program,version", VERSIONS, ids=["-".join(c) for c in VERSIONS])


@EVERY_CLIENT
@pytest.mark.parametrize("worker_version", ["current", "v0.13"])
def test_a_build_passes(stack, buildkit_balancer, shared_workers, quick, program, version, worker_version):
    client = stack.client(program, version)
    build = client.build(buildkit_balancer.address_of(worker_version), quick,
                         args={"ID": f"{program}-{version}"}).check()

    assert (build.out / "result").read_text() == f"built {program}-{version}\n"
    ran_on, = where(build, shared_workers)
    assert ran_on.version == worker_version
    # The first thing the client prints of the build itself.
    assert f"[buildkit-lb] {ran_on.name} (least-active-builds)" in build.output, build.output


@EVERY_CLIENT
def test_builds_one_after_the_other_rotate_over_the_pool(stack, buildkit_balancer, shared_workers, quick, program,
                                                         version):
    client = stack.client(program, version)
    builds = [client.build(buildkit_balancer.address, quick, name=f"b{i}", args={"ID": f"rotate{i}"}).check()
              for i in range(3)]
    assert sorted(where(b, shared_workers)[0].name for b in builds) == ["w1", "w2", "w3"]


@pytest.mark.parametrize("program", ["buildctl", "buildx"])
def test_progress_false_keeps_the_output_as_it_is(stack, shared_workers, quick, program):
    lb = stack.balancer([buildkit_pool(shared_workers)], protocol="buildkit", progress=False)
    build = stack.client(program).build(lb.address, quick, args={"ID": "silent"}).check()
    assert "[buildkit-lb]" not in build.output


def test_metrics_tell_of_the_builds(stack, shared_workers, quick, tmp_path):
    lb = stack.balancer([buildkit_pool(shared_workers)], protocol="buildkit")
    client, once = stack.client("buildctl"), uuid.uuid4().hex
    failing = contexts.dockerfile(tmp_path / "failing", "FROM base\nRUN exit 7\n")
    for i in range(6):
        client.build(lb.address, quick, name="b", args={"ID": f"{once}-{i % 2}"}).check()
    assert not client.build(lb.address, failing).ok

    lb.wait_metric("buildkit_lb_builds_total", 6, result="ok")
    lb.wait_metric("buildkit_lb_builds_total", 1, result="error")
    assert lb.metric("buildkit_lb_build_duration_seconds_count") == 7
    assert lb.metric("buildkit_lb_build_steps_total", cache="miss") >= 2
    assert lb.metric("buildkit_lb_build_steps_total", cache="hit") >= 2
    assert lb.metric("buildkit_lb_rpcs_total", method="moby.buildkit.v1.Control/Solve", code="OK") == 6
    assert lb.metric("buildkit_lb_worker_active_builds") == 0
    lb.wait_metric("buildkit_lb_connections", 0)


@pytest.mark.parametrize("version", ["current", "v0.13"])
def test_active_builds_are_counted_while_they_run(stack, shared_workers, patient, version):
    lb = stack.balancer([buildkit_pool(shared_workers)], protocol="buildkit")
    once = uuid.uuid4().hex
    build = stack.client("buildx", version).start_build(lb.address, patient, args={"ID": once, "SECONDS": "2"})
    build.wait_step(once)
    assert lb.metric("buildkit_lb_worker_active_builds") == 1
    build.wait().check()
    lb.wait_metric("buildkit_lb_worker_active_builds", 0)


@pytest.mark.parametrize("version", ["current", "v0.13"])
def test_buildctl_builds_a_definition_of_its_own(stack, buildkit_balancer, shared_workers, tmp_path, version):
    source = contexts.dockerfile(tmp_path / "source", "")
    definition = llb.local_and_run(tmp_path / "definition", ["/busybox", "sh", "-c", "/busybox echo raw > /result"])
    client = stack.client("buildctl", version)
    for worker_version in ("current", "v0.13"):
        build = client.solve(buildkit_balancer.address_of(worker_version), definition, {"src": source}).check()
        assert (build.out / "result").read_text() == "raw\n"
        assert {**tree(source), "result": b"raw\n"}.items() <= tree(build.out).items()
        assert where(build, shared_workers)[0].version == worker_version
