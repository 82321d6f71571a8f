"""The wall clock jumps by an hour, forward and back, while builds run and wait."""

import datetime
import json
import time

import pytest

from harness import chaos
from harness.balancer import buildkit_pool
from harness.clients import VERSIONS
from harness.clocks import Clock
from harness.process import wait_until

HOUR = 3600


@pytest.fixture
def clock(tmp_path):
    return Clock(tmp_path)


def seconds_ahead(lb):
    """By how much the process's clock is ahead, by its last log line."""
    last = lb.log.read_text().splitlines()[-1].split()[0]
    return datetime.datetime.fromisoformat(last).timestamp() - time.time()


def test_builds_that_run_and_wait_do_not_notice_jumps_of_the_clock(stack, patient, clock):
    workers = stack.workers("current", "v0.13")
    state = stack.directory / "state.json"
    lb = stack.balancer([buildkit_pool(workers, max_builds=2, health_check=chaos.HEALTH_CHECK,
                                       queue={"timeout": "90s"})], protocol="buildkit", start=False,
                        shutdown={"grace": "60s"}, state={"file": str(state), "interval": "1s"})
    lb.env = clock.env
    lb.start()
    wait_until(lambda: chaos.is_up(lb, *workers), "both workers to be up")
    clients = [stack.client(program, version) for program, version in VERSIONS]

    def start(name, number, seconds):
        return clients[number % 4].start_build(lb.address, patient, name=name, args={"ID": name, "SECONDS": seconds})

    for step, ahead in enumerate((HOUR, -HOUR, 0)):
        running = [start(f"r{step}-{i}", i, 5) for i in range(4)]
        for i, build in enumerate(running):
            build.wait_step(f"r{step}-{i}")
        waiting = [start(f"q{step}-{i}", i, 1) for i in range(3)]
        lb.wait_metric("buildkit_lb_queue_length", 3)
        clock.set(ahead)
        for build in [*running, *waiting]:
            build.wait(60).check()
        lb.wait_metric("buildkit_lb_builds", 0)
        assert abs(seconds_ahead(lb) - ahead) < 60, "the clock has jumped"
        assert chaos.is_up(lb, *workers)
    assert lb.metric("buildkit_lb_builds_total", result="ok") == 21
    # Probes go on, and the state file is written.
    clock.set(-HOUR)
    workers[0].kill()
    lb.wait_worker_up(workers[0], False)
    assert lb.command("drain", "w2").returncode == 0
    wait_until(lambda: state.exists() and '"drained":["w2"]' in state.read_text(), "the drain to be on the disk")
    # Nothing that is told of builds has the hour in it.
    assert lb.metric("buildkit_lb_build_duration_seconds_sum") < HOUR / 2
    told = json.loads(lb.get("/api/v1/builds")[1])["recent"]
    assert len(told) == 21 and all(0 <= b["waited"] < HOUR / 2 and 0 < b["duration"] < HOUR / 2 for b in told), told
    lb.terminate()
    assert lb.wait() == 0
