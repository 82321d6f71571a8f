"""A `protocol: tcp` listener when workers die, builds are long and clients are many."""

import time
import uuid

import pytest

from harness.balancer import pool
from harness.load import Load, http2_connections
from harness.process import wait_until
from harness.stack import where


@pytest.fixture
def unique():
    """Part of a build argument: nothing of the build is cached by a worker that others use too."""
    return uuid.uuid4().hex


def running_builds(worker):
    return [record for record in worker.history().values() if not record.done]


def failed_builds(worker):
    return [record for record in worker.history().values() if record.error]


def test_a_worker_killed_between_builds_costs_no_build_and_comes_back(stack, quick):
    w1, w2, w3 = workers = stack.workers("current", "current", "v0.13")
    lb = stack.balancer([pool(workers)])
    client = stack.client("buildctl")

    def build_on(count):
        builds = [client.build(lb.address, quick, name="b", args={"ID": "x"}).check() for _ in range(count)]
        return {ran_on.name for b in builds for ran_on in where(b, workers)}

    assert build_on(3) == {"w1", "w2", "w3"}
    w2.kill()
    # At once, whatever the probes know by now.
    assert build_on(4) == {"w1", "w3"}
    lb.wait_worker_up(w2, False)
    assert build_on(4) == {"w1", "w3"}
    w2.start()
    lb.wait_worker_up(w2)
    assert build_on(3) == {"w1", "w2", "w3"}


@pytest.mark.parametrize("program", ["buildctl", "buildx"])
def test_a_worker_killed_while_building_fails_its_builds_only(stack, patient, program):
    workers = stack.workers("current", "current", "v0.13")
    lb = stack.balancer([pool(workers)])
    client = stack.client(program)
    builds = [client.start_build(lb.address, patient, name=f"b{i}", args={"ID": str(i), "SECONDS": "20"})
              for i in range(6)]
    for i, build in enumerate(builds):
        build.wait_step(i)
    # buildx opens more than one connection for a build, so how many builds each worker has is not for us to say.
    counts = {w: len(running_builds(w)) for w in workers}
    victim = next(w for w in workers if counts[w])
    others = [w for w in workers if w is not victim]
    assert sum(counts.values()) == 6 > counts[victim], "all builds are on one worker: nothing to be seen here"

    victim.kill()
    ended = [b.wait(60) for b in builds]

    failed = [b for b in ended if not b.ok]
    assert len(failed) == counts[victim]
    passed = [b for b in ended if b.ok]
    # Not only when their steps would have ended. (buildx waits 5 s for a Solve after its Status has failed.)
    assert max(b.ended for b in failed) < min(b.ended for b in passed)
    assert all(len(where(b, others)) == 1 for b in passed)
    assert [failed_builds(w) for w in others] == [[], []]


def test_a_build_longer_than_many_probe_intervals_goes_on(stack, shared_workers, patient, unique):
    one_pool = pool(shared_workers)
    one_pool["health_check"].update(interval="100ms", timeout="100ms")
    lb = stack.balancer([one_pool])
    client = stack.client("buildctl")
    builds = [client.start_build(lb.address, patient, name=f"b{i}", args={"ID": f"long{i}-{unique}", "SECONDS": "8"})
              for i in range(3)]
    for build in [b.wait().check() for b in builds]:
        assert build.seconds >= 8
        assert (build.out / "result").read_text().startswith("built long")


def test_200_connections_at_once_are_all_served_and_spread_evenly(stack, shared_workers, quick):
    lb = stack.balancer([pool(shared_workers)])
    with http2_connections(lb.port, 200):
        lb.wait_metric("buildkit_lb_connections", 200)
        counts = sorted(lb.metric("buildkit_lb_worker_active_builds", worker=w.name) for w in shared_workers)
        assert counts == [66, 67, 67]
        stack.client("buildx").build(lb.address, quick, args={"ID": "among many"}).check()
    lb.wait_metric("buildkit_lb_connections", 0)
    lb.wait_metric("buildkit_lb_worker_active_builds", 0)


def test_24_builds_at_once_all_pass(stack, shared_balancer, patient, unique):
    clients = [stack.client(program) for program in ("buildctl", "buildx")]
    builds = [clients[i % 2].start_build(shared_balancer.address, patient, name=f"b{i}",
                                         args={"ID": f"{unique}-{i}", "SECONDS": "1"}) for i in range(24)]
    for i, build in enumerate(builds):
        assert (build.wait().check().out / "result").read_text() == f"built {unique}-{i}\n"


def test_kill_9_of_one_worker_of_three_under_load_fails_no_build_elsewhere(stack, patient):
    w1, w2, w3 = workers = stack.workers("current", "current", "current")
    lb = stack.balancer([pool(workers)])
    clients = [stack.client("buildctl") for _ in range(6)]

    def build(i):
        return clients[i % 6].start_build(lb.address, patient, name=f"b{i}",
                                          args={"ID": f"load{i}", "SECONDS": "1"}).wait()

    with Load(build, width=6) as load:
        load.wait_builds(6)
        wait_until(lambda: running_builds(w2), "w2 to be building")
        killed_at = time.monotonic()
        w2.kill()
        load.wait_builds(len(load.ended) + 18)
    failed = [(began, b) for began, b, _ in load.ended if not b.ok]

    assert failed, "nothing ran on w2 as it was killed: this test has shown nothing"
    assert [failed_builds(w) for w in (w1, w3)] == [[], []], "builds on other workers failed"
    late = [b.output for began, b in failed if began > killed_at]
    assert late == [], "builds that began after the kill failed"
    # What passed is all there: on the others, and in what w2 has kept on its disk.
    w2.start()
    done = sum(record.done and not record.error for w in workers for record in w.history().values())
    assert done == sum(b.ok for _, b, _ in load.ended)


def test_sigterm_lets_running_builds_end_and_takes_no_new_ones(stack, shared_workers, patient, quick, unique):
    lb = stack.balancer([pool(shared_workers)], shutdown={"grace": "60s"})
    client = stack.client("buildctl")
    build = client.start_build(lb.address, patient, args={"ID": unique, "SECONDS": "4"})
    build.wait_step(unique)

    lb.terminate()
    wait_until(lambda: lb.get("/readyz")[0] != 200, "the balancer not to be ready")
    refused = client.build(lb.address, quick, name="late", args={"ID": "late"}, timeout=30)
    assert not refused.ok
    assert build.running() and lb.running()

    build.wait().check()
    assert lb.wait(10) == 0


def test_a_second_sigterm_ends_at_once(stack, shared_workers, patient, unique):
    lb = stack.balancer([pool(shared_workers)])
    build = stack.client("buildctl").start_build(lb.address, patient, args={"ID": unique, "SECONDS": "30"})
    build.wait_step(unique)
    lb.terminate()
    wait_until(lambda: lb.get("/readyz")[0] != 200, "the balancer not to be ready")
    assert build.running()
    lb.terminate()
    assert lb.wait(5) == 3  # connections had to be cut
    assert not build.wait(20).ok
