"""Real builds through a `protocol: tcp` listener."""

import pytest

from harness import contexts
from harness.balancer import pool
from harness.clients import VERSIONS
from harness.stack import where

EVERY_CLIENT = pytest.mark.parametrize("program,version", VERSIONS, ids=["-".join(c) for c in VERSIONS])


@EVERY_CLIENT
@pytest.mark.parametrize("worker_version", ["current", "v0.13"])
def test_build_through_the_endpoint(stack, shared_balancer, shared_workers, quick, program, version, worker_version):
    client = stack.client(program, version)
    build = client.build(shared_balancer.address_of(worker_version), quick, args={"ID": f"{program}-{version}"}).check()

    assert (build.out / "result").read_text() == f"built {program}-{version}\n"
    ran_on, = where(build, shared_workers)
    assert ran_on.version == worker_version


@EVERY_CLIENT
@pytest.mark.parametrize("front", ["balancer", "nginx"])
def test_the_same_builds_pass_through_the_classic_nginx_stream_block_and_through_us(
        stack, request, shared_workers, quick, program, version, front):
    address = request.getfixturevalue(f"shared_{front}").address
    client = stack.client(program, version)
    builds = [client.build(address, quick, name=f"b{i}", args={"ID": f"{front}{i}"}).check() for i in range(3)]

    assert [(b.out / "result").read_text() for b in builds] == [f"built {front}{i}\n" for i in range(3)]
    for build in builds:
        assert len(where(build, shared_workers)) == 1


def test_round_robin_spreads_the_connections_of_buildctl_evenly(stack, shared_workers, quick):
    balancer = stack.balancer([pool(shared_workers)])
    client = stack.client("buildctl")
    builds = [client.build(balancer.address, quick, name=f"b{i}", args={"ID": f"rr{i}"}).check() for i in range(6)]

    ran_on = [where(b, shared_workers)[0].name for b in builds]
    assert sorted(ran_on) == ["w1", "w1", "w2", "w2", "w3", "w3"]


def test_the_example_project_builds(stack, shared_balancer, tmp_path):
    build = stack.client("buildx").build(shared_balancer.address, contexts.example(tmp_path / "example"),
                                         args={"PROJECT": "mine"}).check()
    assert "<title>mine</title>" in (build.out / "page.html").read_text()
    assert (build.out / "report.txt").read_text() == "ok: 6 words\n"
    assert (build.out / "page.html.gz").exists() and (build.out / "data.sum").exists()


@pytest.mark.parametrize("version", ["current", "v0.13"])
def test_buildctl_asks_about_a_worker_through_the_endpoint(stack, shared_balancer, quick, version):
    client = stack.client("buildctl", version)
    for pool_name in ("current", "v0.13"):
        address = shared_balancer.address_of(pool_name)
        client.build(address, quick, args={"ID": "du"}).check()
        workers = client.run("--addr", address, "debug", "workers", "-v").stdout
        assert "buildkit-lb.test/name:" in workers and "linux/" in workers
        assert "Total:" in client.run("--addr", address, "du").stdout
        assert "BuildKit:" in client.run("--addr", address, "debug", "info").stdout


@pytest.mark.parametrize("version", ["current", "v0.13"])
def test_buildx_inspects_and_bootstraps_the_endpoint(stack, shared_balancer, version):
    client = stack.client("buildx", version)
    output = client.run("inspect", "--bootstrap", client.builder(shared_balancer.address)).stdout
    assert "running" in output and "linux/amd64" in output


def test_a_failing_build_fails_with_the_same_error_as_without_us(stack, shared_balancer, shared_workers, tmp_path):
    context = contexts.dockerfile(tmp_path / "failing", "FROM base\nRUN echo before && exit 7\n")
    client = stack.client("buildctl")
    through, direct = (client.build(address, context) for address in
                       (shared_balancer.address_of("current"), shared_workers[0].address))

    def error_of(build):
        return [line for line in build.output.splitlines() if line.startswith("error:")]

    assert through.code == direct.code != 0
    assert error_of(through) == error_of(direct) != []
