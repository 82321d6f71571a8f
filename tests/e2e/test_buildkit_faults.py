"""A `protocol: buildkit` listener when builds are cancelled, workers die and the balancer is stopped."""

import uuid

import pytest

from harness.balancer import buildkit_pool
from harness.bake import start_bake
from harness.clients import VERSIONS
from harness.manybuilds import endings
from harness.process import wait_until
from harness.stack import where

# A loss is the end of the build here; see test_failover.py.
NO_FAILOVER = {"attempts": 0}

EVERY_CLIENT = pytest.mark.parametrize("program,version", VERSIONS, ids=["-".join(c) for c in VERSIONS])


@EVERY_CLIENT
@pytest.mark.parametrize("pool", ["current", "v0.13"])
def test_ctrl_c_stops_the_step_on_the_worker(stack, shared_workers, patient, program, version, pool):
    workers = [w for w in shared_workers if w.version == pool][:1]
    lb = stack.balancer([buildkit_pool(workers)], protocol="buildkit")
    once = uuid.uuid4().hex
    build = stack.client(program, version).start_build(lb.address, patient, args={"ID": once, "SECONDS": "300"})
    build.wait_step(once)
    assert workers[0].step_processes()

    build.interrupt()
    assert not build.wait(30).ok
    wait_until(lambda: not workers[0].step_processes(), "the step to be stopped", 10)
    lb.wait_metric("buildkit_lb_builds_total", 1, result="canceled")
    lb.wait_metric("buildkit_lb_worker_active_builds", 0)
    lb.wait_metric("buildkit_lb_connections", 0)
    assert lb.metric("buildkit_lb_builds") == 0 and lb.metric("buildkit_lb_sessions") == 0


@pytest.mark.parametrize("program", ["buildctl", "buildx"])
def test_a_killed_client_frees_its_worker(stack, shared_workers, patient, program):
    worker = shared_workers[0]
    lb = stack.balancer([buildkit_pool([worker])], protocol="buildkit")
    once = uuid.uuid4().hex
    build = stack.client(program).start_build(lb.address, patient, args={"ID": once, "SECONDS": "300"})
    build.wait_step(once)
    build.kill()
    wait_until(lambda: not worker.step_processes(), "the step to be stopped", 10)
    lb.wait_metric("buildkit_lb_builds_total", 1, result="canceled")
    lb.wait_metric("buildkit_lb_connections", 0)


def test_a_killed_worker_fails_its_builds_which_name_it(stack, patient):
    victim, other = workers = stack.workers("current", "v0.13")
    lb = stack.balancer([buildkit_pool([victim], "victim", failover=NO_FAILOVER), buildkit_pool(workers, "all")],
                        protocol="buildkit", log={"level": "debug"})
    clients = [stack.client(program, version) for program, version in VERSIONS]
    builds = [client.start_build(lb.address_of("victim"), patient, args={"ID": str(i), "SECONDS": "300"})
              for i, client in enumerate(clients)]
    for i, build in enumerate(builds):
        build.wait_step(i)

    victim.kill()
    # At once, whatever the probes know by now.
    for i in range(2):
        again = clients[0].build(lb.address_of("all"), patient, args={"ID": f"again{i}", "SECONDS": "0"}).check()
        assert where(again, workers) == [other]
    for build in [b.wait(30) for b in builds]:
        assert not build.ok
        assert "Unavailable" in build.output and f"worker {victim.name} was lost" in build.output, build.output
    lb.wait_metric("buildkit_lb_builds_total", 4, result="error")
    lb.wait_metric("buildkit_lb_worker_active_builds", 0)


def test_builds_of_the_same_connection_and_session_outlive_the_worker_of_others(stack, patient):
    workers = stack.workers("current", "v0.13", "current")
    lb = stack.balancer([buildkit_pool(workers, failover=NO_FAILOVER)], protocol="buildkit", log={"level": "debug"})
    running = stack.client("manybuilds").start_all(lb.address, patient, 6, 15)
    running.wait_step(*range(6))
    assert lb.metric("buildkit_lb_connections") == 1
    assert [lb.metric("buildkit_lb_worker_active_builds", worker=w.name) for w in workers] == [2, 2, 2]

    victim, others = workers[0], workers[1:]
    victim.kill()
    ended = endings(running.wait(60))

    failed = [e for e in ended.values() if e.error]
    assert len(ended) == 6 and len(failed) == 2, ended
    assert all("Unavailable" in e.error and f"worker {victim.name} was lost" in e.error for e in failed), failed
    histories = {ref: record for w in others for ref, record in w.history().items()}
    for passed in (e for e in ended.values() if not e.error):
        assert histories[passed.ref].error == ""
    lb.wait_metric("buildkit_lb_builds_total", 4, result="ok")
    lb.wait_metric("buildkit_lb_worker_active_builds", 0)


def test_a_bake_ends_with_the_reason_when_one_of_its_workers_is_killed(stack, patient):
    workers = stack.workers("current", "current")
    lb = stack.balancer([buildkit_pool(workers, failover=NO_FAILOVER)], protocol="buildkit", log={"level": "debug"})
    targets = {f"t{i}": {"context": str(patient), "args": {"ID": str(i), "SECONDS": "30"}} for i in range(4)}
    running = start_bake(stack.client("buildx"), lb.address, targets)
    # Not by its output: of parallel steps buildx prints one at a time, for five seconds.
    wait_until(lambda: lb.metric("buildkit_lb_worker_active_builds") == 4 and all(w.step_processes() for w in workers),
               "both workers to run steps")
    workers[1].kill()
    build = running.wait(30)
    assert not build.ok and f"worker {workers[1].name} was lost" in build.output, build.output
    # buildx cancels the other targets.
    wait_until(lambda: not workers[0].step_processes(), "the other steps to be stopped", 10)
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
    once = uuid.uuid4().hex
    build = stack.client("buildx").start_build(lb.address, patient, args={"ID": once, "SECONDS": "6"})
    build.wait_step(once)
    lb.terminate()
    build.wait(60).check()
    assert lb.wait(30) == 0
