"""A `protocol: buildkit` listener when builds are cancelled, workers die and the balancer is stopped."""

import uuid

import pytest

from harness.balancer import buildkit_pool
from harness.clients import VERSIONS
from harness.process import wait_until
from harness.stack import where

EVERY_CLIENT = pytest.mark.parametrize("program,version", VERSIONS, ids=["-".join(c) for c in VERSIONS])


def start_patient(client, address, context, *names, seconds=60):
    """Builds that all run their step."""
    builds = [client.start_build(address, context, name=name, args={"ID": f"{name}-{uuid.uuid4().hex}",
                                                                    "SECONDS": str(seconds)}) for name in names]
    for name, build in zip(names, builds):
        wait_until(lambda n=name, b=build: f" step {n}-" in b.output(),
                   f"build {name} to run its step")
    return builds


def running(worker):
    return [record for record in worker.history().values() if not record.done]


@EVERY_CLIENT
def test_ctrl_c_stops_the_build_on_its_worker(stack, shared_workers, patient, program, version):
    lb = stack.balancer([buildkit_pool(shared_workers)], protocol="buildkit")
    build, = start_patient(stack.client(program, version), lb.address, patient, "canceled")
    assert sum(len(running(w)) for w in shared_workers) == 1
    build.interrupt()
    assert build.wait(30).code != 0
    wait_until(lambda: not any(running(w) for w in shared_workers), "the workers to have stopped the build", 20)
    lb.wait_metric("buildkit_lb_builds_total", 1, result="canceled")
    lb.wait_metric("buildkit_lb_worker_active_builds", 0)
    lb.wait_metric("buildkit_lb_connections", 0)
    assert lb.metric("buildkit_lb_builds") == 0 and lb.metric("buildkit_lb_sessions") == 0


@pytest.mark.parametrize("program", ["buildctl", "buildx"])
def test_a_killed_worker_fails_its_builds_by_name_and_no_others(stack, patient, program):
    workers = stack.workers("current", "current", "v0.13")
    lb = stack.balancer([buildkit_pool(workers)], protocol="buildkit")
    client = stack.client(program)
    builds = start_patient(client, lb.address, patient, "b0", "b1", "b2", seconds=15)
    victim = workers[0]
    assert len(running(victim)) == 1
    victim.kill()
    ended = [build.wait(60) for build in builds]

    lost = [b for b in ended if not b.ok]
    assert len(lost) == 1, [b.output for b in lost]
    assert f"worker {victim.name} was lost" in lost[0].output, lost[0].output
    for build in (b for b in ended if b.ok):
        assert (build.out / "result").read_text().startswith("built b")
    # It gets nothing more, whatever the probes know by now.
    after = [client.build(lb.address, patient, name="after", args={"ID": str(i), "SECONDS": "0"}).check()
             for i in range(3)]
    assert victim not in [w for b in after for w in where(b, workers)]
    lb.wait_metric("buildkit_lb_builds_total", 1, result="error")
    lb.wait_metric("buildkit_lb_worker_active_builds", 0)


def test_a_worker_that_is_down_is_passed_over_and_used_again(stack, quick):
    w1, w2 = workers = stack.workers("current", "current")
    w2.kill()
    lb = stack.balancer([buildkit_pool(workers)], protocol="buildkit")
    client = stack.client("buildctl")
    for i in range(3):
        assert where(client.build(lb.address, quick, name="b", args={"ID": str(i)}).check(), workers) == [w1]
    w2.start()
    lb.wait_worker_up(w2)
    seen = {where(client.build(lb.address, quick, name="b", args={"ID": str(i)}).check(), workers)[0].name
            for i in range(3, 6)}
    assert seen == {"w1", "w2"}


def test_no_worker_at_all_says_so(stack, quick):
    workers = stack.workers("current", "current")
    lb = stack.balancer([buildkit_pool(workers)], protocol="buildkit")
    for worker in workers:
        worker.kill()
        lb.wait_worker_up(worker, False)
    build = stack.client("buildctl").build(lb.address, quick, timeout=60)
    assert not build.ok
    assert "no worker of pool default can take a build" in build.output and "w1" in build.output, build.output
    assert lb.get("/readyz")[0] == 503


def test_a_stop_lets_a_running_build_end(stack, shared_workers, patient):
    lb = stack.balancer([buildkit_pool(shared_workers)], protocol="buildkit")
    build, = start_patient(stack.client("buildx"), lb.address, patient, "last", seconds=6)
    lb.terminate()
    build.wait(60).check()
    assert lb.wait(30) == 0
