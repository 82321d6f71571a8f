"""A worker is taken out while it builds, as a preStop hook does it."""

import json

import pytest

from harness.bake import own_file, refs_of, start_bake, tree
from harness.balancer import buildkit_pool, pool
from harness.process import wait_until
from harness.stack import where

TIMED_OUT = 4


def entry(lb, worker):
    return next(w for w in lb.workers()["workers"] if w["name"] == worker.name)


def test_a_drain_that_takes_too_long_ends_with_a_code_of_its_own(stack, patient):
    worker, = stack.workers("current")
    lb = stack.balancer([buildkit_pool([worker])], protocol="buildkit")
    build = stack.client().start_build(lb.address, patient, args={"ID": "long", "SECONDS": 60})
    build.wait_step("long")
    waited = lb.command("drain", "w1", "--wait", "--timeout", "1s")
    assert waited.returncode == TIMED_OUT
    assert waited.stdout == "w1 is draining; 1 build is on it\n"
    assert waited.stderr == "buildkit-lb: 1 build had not ended within the timeout; the worker stays draining\n"
    assert entry(lb, worker)["draining"]
    assert lb.get("/readyz")[0] == 503

    # A new build finds no worker, and says so; a wait that is undone ends.
    refused = stack.client().build(lb.address, patient, args={"ID": "none", "SECONDS": 0})
    assert not refused.ok and "w1 draining" in refused.output
    waiting = lb.start_command("drain", "w1", "--wait")
    assert "draining" in waiting.stdout.readline()
    assert lb.command("undrain", "w1").stdout == "w1 takes builds again\n"
    said, _ = waiting.communicate(timeout=20)
    assert waiting.returncode == 1 and "undrained while this call waited" in said
    assert lb.metric("buildkit_lb_worker_draining", worker="w1") == 0
    build.kill()


def test_builds_that_wait_are_served_when_a_worker_is_undrained(stack, patient):
    workers = stack.workers("current", "current")
    lb = stack.balancer([buildkit_pool(workers, max_builds=1)], protocol="buildkit")
    lb.command("drain", "w2")
    client = stack.client()
    busy = client.start_build(lb.address, patient, name="busy", args={"ID": "busy", "SECONDS": 60})
    busy.wait_step("busy")
    waits = client.start_build(lb.address, patient, name="waits", args={"ID": "waits", "SECONDS": 0})
    lb.wait_metric("buildkit_lb_queue_length", 1)
    assert "QUEUED\ndefault  least-active-builds  2        2   1         1       1\n" in lb.command("status").stdout
    lb.command("undrain", "w2")
    build = waits.wait(30).check()
    assert where(build, workers) == [workers[1]]
    busy.kill()


def test_linked_targets_of_a_bake_follow_onto_a_worker_that_drains(stack, shared_workers):
    """They belong to builds that run there."""
    workers = [w for w in shared_workers if w.version == "current"]
    lb = stack.balancer([buildkit_pool(workers)], protocol="buildkit")
    # The parent takes a while, so that the drain is in before the child is placed.
    base = own_file(stack.directory, "base")
    file = base / "Dockerfile"
    file.write_text(file.read_text().replace("FROM scratch\n", "FROM base AS slow\nRUN sleep 6 && touch /slow\n"
                                                               "FROM scratch\nCOPY --from=slow /slow /slow\n"))
    targets = {name: {"context": str(folder), "contexts": {parent: f"target:{parent}" for parent in parents}}
               for name, folder, parents in (("base", base, []),
                                             ("app", own_file(stack.directory, "app", ["base"]), ["base"]))}
    bake = start_bake(stack.client("buildx"), lb.address, targets)
    busy = wait_until(lambda: next((w for w in workers if entry(lb, w)["active_builds"]), None), "a build to be placed")
    waited = lb.command("drain", busy.name, "--wait", "--timeout", "90s", timeout=100)
    assert waited.returncode == 0, waited.stderr
    done = bake.wait(60).check()
    assert tree(done.out)["app/own-app"] == b"file of app\n"
    assert tree(done.out)["app/own-base"] == b"file of base\n"
    assert set(refs_of(done).values()) <= set(busy.history())


@pytest.mark.parametrize("version", ["current"])
def test_tcp_connections_count_as_builds(stack, patient, version):
    workers = stack.workers(version, version)
    lb = stack.balancer([pool(workers)])
    build = stack.client().start_build(lb.address, patient, args={"ID": "tcp", "SECONDS": 6})
    build.wait_step("tcp")
    busy = next(w for w in workers if entry(lb, w)["active_builds"])
    waited = lb.command("drain", busy.name, "--wait", "--timeout", "1m")
    assert waited.returncode == 0, waited.stderr
    busy.kill()
    build.wait(10).check()
    assert entry(lb, busy)["active_builds"] == 0


def test_a_token_is_needed_where_one_is_set(stack, shared_workers, tmp_path):
    token = tmp_path / "token"
    token.write_text("the-token-of-the-tests\n")
    lb = stack.balancer([buildkit_pool(shared_workers[:1])], protocol="buildkit", start=False)
    lb.config["admin"] = {"address": f"tcp://0.0.0.0:{lb.admin_port}", "token_file": str(token)}
    lb.start()
    none = {"BUILDKIT_LB_TOKEN": "a-token-that-is-wrong"}
    wrong = lb.command("drain", "w1", env=none)
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("buildkit-lb: that is not the token of admin.token_file")
    assert "give it with --token-file" in lb.command("drain", "w1").stderr
    assert not entry(lb, shared_workers[0])["draining"]
    assert lb.command("status", "--json").returncode == 0
    assert lb.command("drain", "w1", "--token-file", str(token)).returncode == 0
    assert lb.command("undrain", "w1", env={"BUILDKIT_LB_TOKEN": token.read_text()}).returncode == 0
    # From the configuration that is named.
    assert lb.command("drain", "w1", "--config", str(lb.config_file)).returncode == 0
    status = json.loads(lb.command("status", "--json").stdout)
    assert status["workers"][0]["draining"] and status["pools"][0]["draining"] == 1
    assert lb.command("drain", "w9", "--config", str(lb.config_file)).stderr == \
        "buildkit-lb: there is no worker 'w9'; there are: w1\n"


def test_a_drain_outlives_a_balancer_that_is_killed(stack, shared_workers, quick):
    lb = stack.balancer([buildkit_pool(shared_workers[:2])], protocol="buildkit")
    lb.command("drain", "w1")
    state = lb.directory / "state.json"
    wait_until(lambda: state.exists() and '"drained":["w1"]' in state.read_text(), "the drain to be on the disk", 5)
    lb.kill()
    lb.start()
    assert entry(lb, shared_workers[0])["draining"]
    build = stack.client().build(lb.address, quick, args={"ID": "after"}).check()
    assert where(build, shared_workers[:2]) == [shared_workers[1]]
    lb.command("undrain", "w1")
    lb.terminate()
    lb.wait()
    lb.start()
    assert not entry(lb, shared_workers[0])["draining"]
