"""Health checks of type `buildkit`: what they learn of real workers, and how soon they see that one is gone."""

import time

import pytest

from harness.balancer import buildkit_pool
from harness.clients import VERSIONS
from harness.process import wait_until
from harness.stack import where

CHECK = {"type": "buildkit", "interval": "500ms", "timeout": "500ms", "unhealthy_after": 2, "healthy_after": 1}


def told(lb, worker):
    return next(w for w in lb.workers()["workers"] if w["name"] == worker.name)


def wait_up(lb, *workers):
    """Until probes have found them up. (The metric says 1 before the first probe too.)"""
    for worker in workers:
        wait_until(lambda w=worker: told(lb, w)["health"] == "up", f"{worker.name} to be up")


def test_workers_of_both_versions_tell_who_they_are(stack, shared_workers):
    lb = stack.balancer([buildkit_pool(shared_workers)], protocol="buildkit")
    wait_up(lb, *shared_workers)
    for worker in shared_workers:
        about = told(lb, worker)
        assert about["health"] == "up"
        assert about["version"].startswith("v0.13.0" if worker.version == "v0.13" else "v0.34.2"), about
        assert about["platforms"][0] == "linux/amd64"
        assert about["labels"]["buildkit-lb.test/name"] == worker.name
    assert len({told(lb, w)["id"] for w in shared_workers}) == 3
    # The build that asks for capabilities has left nothing behind.
    assert not [ref for w in shared_workers for ref in w.history() if ref.startswith("buildkit-lb")]


@pytest.mark.parametrize("program,version", VERSIONS, ids=["-".join(c) for c in VERSIONS])
def test_capabilities_of_a_mixed_pool_hold_on_every_worker(stack, shared_workers, quick, program, version):
    lb = stack.balancer([buildkit_pool(shared_workers[:2], policy="round-robin")], protocol="buildkit")
    wait_up(lb, *shared_workers[:2])
    client = stack.client(program, version)
    builds = [client.build(lb.address, quick, name=f"b{i}", args={"ID": f"mixed{i}"}).check() for i in range(2)]
    assert {where(b, shared_workers)[0].version for b in builds} == {"current", "v0.13"}
    # All of them answered by the balancer: no worker was asked.
    assert lb.metric("buildkit_lb_rpcs_total", method="moby.buildkit.v1.frontend.LLBBridge/Ping", code="OK") >= 2


def test_a_worker_that_hangs_goes_down_in_time_and_comes_back(stack, quick):
    hangs, other = workers = stack.workers("current", "v0.13")
    lb = stack.balancer([buildkit_pool(workers, health_check=CHECK)], protocol="buildkit")
    wait_up(lb, *workers)

    hangs.pause()
    paused = time.monotonic()
    lb.wait_worker_up(hangs, False)
    # interval x unhealthy_after + timeout; and two seconds for a busy machine.
    assert time.monotonic() - paused < 2 * 0.5 + 0.5 + 2
    said = told(lb, hangs)["last_error"]
    assert "DEADLINE_EXCEEDED" in said or "no HTTP/2 connection" in said  # on the old connection, and on a new one
    build = stack.client("buildctl").build(lb.address, quick, args={"ID": "meanwhile"}).check()
    assert where(build, [other]) == [other]

    hangs.resume()
    wait_up(lb, hangs)
    assert told(lb, hangs)["last_error"] == ""


@pytest.mark.parametrize("version", ["current", "v0.13"])
def test_a_killed_worker_goes_down_and_its_successor_comes_back(stack, quick, version):
    worker, = stack.workers(version)
    lb = stack.balancer([buildkit_pool([worker], health_check=CHECK)], protocol="buildkit")
    wait_up(lb, worker)
    known = told(lb, worker)

    worker.kill()
    lb.wait_worker_up(worker, False)
    about = told(lb, worker)
    assert about["last_error"] == f"{worker.address}: Connection refused"
    assert about["id"] == known["id"]  # what is known of it is kept

    worker.start()
    wait_up(lb, worker)
    build = stack.client("buildx").build(lb.address, quick, args={"ID": "after"}).check()
    assert where(build, [worker]) == [worker]


def test_one_daemon_under_two_names_is_warned_of(stack, shared_workers):
    twice = buildkit_pool(shared_workers[:1])
    twice["workers"].append({**twice["workers"][0], "name": "again"})
    lb = stack.balancer([twice], protocol="buildkit")
    lines = wait_until(lambda: [line for line in lb.log.read_text().splitlines() if "same ID" in line], "a warning")
    assert len(lines) == 1 and {"worker=w1", "other=w1"} & set(lines[0].split()) and "=again " in lines[0] and "workerid" in lines[0], lines
