"""What outlives a restart of the balancer, and what /api/v1/builds tells of builds."""

import json
import os
import signal

import pytest

from harness.balancer import buildkit_pool
from harness.process import wait_until
from harness.stack import where

KEY = "example.test/team/app"


def builds_of(lb, query=""):
    status, body = lb.get(f"/api/v1/builds{query}")
    assert status == 200, body
    return json.loads(body)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_key_stays_on_its_warm_worker_over_a_restart_and_a_damaged_file_is_set_aside(stack, quick, how):
    workers = stack.workers("current", "current")
    pools = [buildkit_pool(workers, policy="cache-affinity")]
    client = stack.client()

    def build(lb, number):
        done = client.build(lb.address, quick, name=f"b{number}",
                            args={"ID": str(number), "BUILDKIT_LB_KEY": KEY}).check()
        return where(done, workers)[0], done

    # Where hashing alone puts the key; then it gets warm on the other worker.
    first_choice, _ = build(stack.balancer(pools, protocol="buildkit", state={"file": "off"}), 1)
    state = stack.directory / "state" / "state.json"
    lb = stack.balancer(pools, protocol="buildkit", state={"file": str(state), "interval": "100ms"})
    first_choice.kill()
    lb.wait_worker_up(first_choice, False)
    warm, done = build(lb, 2)
    assert warm is not first_choice
    assert f"[buildkit-lb] {warm.name} (cache-affinity: new key {KEY}, from build-arg:BUILDKIT_LB_KEY)" in done.output
    first_choice.start()
    lb.wait_worker_up(first_choice)

    wait_until(lambda: state.exists() and KEY in state.read_text(), "the state file to name the key")
    os.kill(lb.pid, how)
    assert lb.wait() == (0 if how == signal.SIGTERM else -signal.SIGKILL)
    lb.start()
    lb.wait_worker_up(first_choice)
    where_now, done = build(lb, 3)
    assert where_now is warm
    assert f"[buildkit-lb] {warm.name} (cache-affinity: home of {KEY}, from build-arg:BUILDKIT_LB_KEY)" in done.output
    assert not state.with_suffix(".json.damaged").exists()

    lb.terminate()
    assert lb.wait() == 0
    damaged = state.read_text()[:-20]
    state.write_text(damaged)
    lb.start()
    lb.wait_worker_up(first_choice)
    assert build(lb, 4)[0] is first_choice
    aside = state.with_suffix(".json.damaged")
    assert aside.read_text() == damaged
    line = next(one for one in lb.log.read_text().splitlines() if "state file is ignored" in one)
    assert f"file={state}" in line and f"moved_to={aside}" in line and "is damaged" in line


def test_the_balancer_runs_where_no_state_can_be_written_and_says_so_once(stack, quick):
    worker, = stack.workers("current")
    lb = stack.balancer([buildkit_pool([worker], policy="cache-affinity")], protocol="buildkit",
                        state={"file": "/proc/buildkit-lb/state.json", "interval": "100ms"})
    stack.client().build(lb.address, quick, args={"ID": "1", "BUILDKIT_LB_KEY": KEY}).check()
    wait_until(lambda: lb.metric("buildkit_lb_state_writes_total", result="error") >= 3, "three tries to write")
    assert lb.log.read_text().count("state can't be kept") == 1


def test_builds_are_told_while_they_wait_run_and_have_ended(stack, quick, patient):
    worker, = stack.workers("current")
    lb = stack.balancer([buildkit_pool([worker], policy="cache-affinity", max_builds=1)], protocol="buildkit")
    clients = [stack.client("buildx"), stack.client("buildctl")]
    assert builds_of(lb) == {"active": [], "queued": [], "recent": []}

    running = clients[0].start_build(lb.address, patient, name="one", args={"ID": "1", "SECONDS": "60", "BUILDKIT_LB_KEY": KEY})
    wait_until(lambda: builds_of(lb)["active"], "an active build")
    waiting = clients[1].start_build(lb.address, quick, name="two", args={"ID": "2", "BUILDKIT_LB_KEY": "other"})
    wait_until(lambda: builds_of(lb)["queued"], "a queued build")
    now = builds_of(lb)
    active, = now["active"]
    assert (active["worker"], active["key"], active["key_source"]) == ("w1", KEY, "build-arg:BUILDKIT_LB_KEY")
    assert (active["policy"], active["reason"], active["pool"]) == ("cache-affinity", "new", "default")
    queued, = now["queued"]
    assert (queued["key"], queued["position"], queued["length"]) == ("other", 1, 1)
    assert "worker" not in queued

    running.interrupt()
    running.wait()
    done = waiting.wait().check()
    wait_until(lambda: len(builds_of(lb)["recent"]) == 2, "two builds that have ended")
    last, first = builds_of(lb, "?state=ended&pool=default")["recent"]
    assert (last["ref"], last["result"], last["worker"]) == (done.ref, "ok", "w1")
    assert last["steps"] > 0 and last["waited"] > 0
    assert first["result"] == "canceled"
    assert builds_of(lb)["active"] == builds_of(lb)["queued"] == []
    facts, = lb.workers()["workers"]
    assert facts["version"] and facts["platforms"] and facts["id"] and facts["labels"]
