"""A configuration taken over while builds run."""

import json

from harness.balancer import buildkit_pool
from harness.process import wait_until
from harness.stack import where


def test_workers_come_and_go_while_builds_run(stack, quick, patient):
    workers = stack.workers("current", "current", "current")
    lb = stack.balancer([buildkit_pool(workers[:2], policy="round-robin")], protocol="buildkit")
    client = stack.client("buildx")
    running = [client.start_build(lb.address, patient, name=f"r{n}", args={"ID": f"r{n}", "SECONDS": "8"})
               for n in range(2)]
    for n, build in enumerate(running):
        build.wait_step(f"r{n}")

    entries = lb.config["pools"][0]["workers"]
    lb.config["pools"][0]["workers"] = [
        {**entries[1], "weight": 3}, {"name": "w3", "address": workers[2].address, "max_builds": 0}]
    said = lb.reload()
    assert said["reloaded"] and "pools[default].workers[w1].address: removed" in said["changes"]
    assert "pools[default].workers[w2].weight: added, 3" in said["changes"]
    lb.wait_worker_up(workers[2])
    new = [client.build(lb.address, quick, name=f"n{n}", args={"ID": f"n{n}"}).check() for n in range(4)]
    places = [where(build, workers)[0].name for build in new]
    assert sorted(set(places)) == ["w2", "w3"] and places.count("w2") == 3, places
    # What ran on the worker that left has ended there, and then it is gone.
    ended = [build.wait().check() for build in running]
    assert {where(build, workers)[0].name for build in ended} == {"w1", "w2"}
    wait_until(lambda: [w["name"] for w in lb.workers()["workers"]] == ["w2", "w3"], "w1 to be gone")


def test_a_bad_file_changes_nothing(stack, shared_workers, quick):
    lb = stack.balancer([buildkit_pool(shared_workers)], protocol="buildkit")
    good = json.loads(json.dumps(lb.config))
    lb.config["pools"][0]["workers"] = [{"name": "w1", "address": "tcp://nowhere"}]
    lb.config["pools"][0]["colour"] = "red"
    said = lb.reload()
    assert not said["reloaded"] and len(said["errors"]) == 2, said
    assert any("pools[0].colour: is not a known key" in e for e in said["errors"])
    lb.config = json.loads(json.dumps(good))
    lb.config["listeners"].append({**lb.config["listeners"][0], "name": "taken", "address": shared_workers[0].address})
    said = lb.reload(by="api")
    assert not said["reloaded"] and "Address already in use" in said["errors"][0], said
    assert lb.metric("buildkit_lb_config_reloads_total", result="error") == 2
    assert len(lb.workers()["workers"]) == 3
    stack.client().build(lb.address, quick, args={"ID": "after"}).check()


def test_listeners_and_pools_come_and_go(stack, shared_workers, quick, patient):
    lb = stack.balancer([buildkit_pool(shared_workers[:1], "old"), buildkit_pool(shared_workers[:1], "kept")],
                        protocol="buildkit")
    client = stack.client()
    running = client.start_build(lb.address_of("old"), patient, args={"ID": "old", "SECONDS": "6"})
    running.wait_step("old")
    was = lb.address_of("old")
    lb.config["pools"] = [lb.config["pools"][1],
                          json.loads(json.dumps(buildkit_pool(shared_workers[2:], "new")))]
    lb.config["listeners"] = [lb.config["listeners"][1],
                              {**lb.config["listeners"][0], "name": "to-new", "pool": "new"}]
    lb.reload(by="signal")
    # The same address, another listener and another pool.
    wait_until(lambda: any(w["pool"] == "new" and w["health"] == "up" for w in lb.workers()["workers"]), "the new pool")
    done = client.build(was, quick, args={"ID": "new"}).check()
    assert where(done, shared_workers) == [shared_workers[2]]
    assert where(running.wait().check(), shared_workers) == [shared_workers[0]]
    assert sorted({w["pool"] for w in lb.workers()["workers"]}) == ["kept", "new"]
