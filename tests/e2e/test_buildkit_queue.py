"""The queue of a pool whose workers are capped: what clients see of it, and that it survives their deadlines."""

import re
import time
import uuid

import pytest

from harness import contexts
from harness.bake import landed, own_file, start_bake, tree
from harness.balancer import buildkit_pool
from harness.clients import VERSIONS
from harness.process import wait_until
from harness.stack import Stack, where
from harness.worker import most_at_once

LONG_WAIT = 90  # seconds: far beyond every deadline a client has before its build runs


class LongWait:
    """One worker that is busy for LONG_WAIT seconds, and a build of each client that waits for it meanwhile."""

    def __init__(self, stack, context):
        self.worker = stack.workers("current")[0]
        self.balancer = stack.balancer([buildkit_pool([self.worker], max_builds=1)], protocol="buildkit")
        self.busy = stack.client().start_build(self.balancer.address, context, name="busy",
                                               args={"ID": uuid.uuid4().hex, "SECONDS": LONG_WAIT})
        self.busy.wait_step(self.busy_id)
        self.waiting = []
        for program, version in VERSIONS:
            one = uuid.uuid4().hex
            client = stack.client(program, version)
            build = client.start_build(self.balancer.address, context, name=f"{program}-{version}",
                                       args={"ID": one, "SECONDS": 0})
            self.waiting.append((one, build))
        # Linked targets wait for their parent, which waits in the queue.
        linked = {name: {"context": str(own_file(stack.directory, name, parents)),
                         "contexts": {parent: f"target:{parent}" for parent in parents}}
                  for name, parents in (("base", []), ("app", ["base"]))}
        self.bakes = [start_bake(stack.client("buildx", version), self.balancer.address, linked)
                      for version in ("current", "v0.13")]

    @property
    def busy_id(self):
        return next(a for a in map(str, self.busy.popen.args) if "ID=" in a).rpartition("ID=")[2]


@pytest.fixture(scope="module", autouse=True)
def long_wait(machine, tmp_path_factory):
    """Begun before the other tests of this file, looked at after them."""
    directory = tmp_path_factory.mktemp("long-wait")
    with Stack(directory) as stack:
        yield LongWait(stack, contexts.patient(directory / "context"))


LINKED_TREE = {"base/own-base": b"file of base\n", "app/own-base": b"file of base\n", "app/own-app": b"file of app\n"}


@pytest.fixture
def one_worker(stack):
    return stack.workers("current")[0]


def balancer_for(stack, workers, max_builds=1, start=True, **settings):
    return stack.balancer([buildkit_pool(workers, max_builds=max_builds, **settings)], start=start,
                          protocol="buildkit", log={"level": "debug"})


def occupy(stack, lb, context, seconds=120):
    """A build that runs until it is killed."""
    one = uuid.uuid4().hex
    build = stack.client().start_build(lb.address, context, name="busy", args={"ID": one, "SECONDS": seconds})
    build.wait_step(one)
    return build


def test_12_builds_of_10_seconds_on_three_workers_with_a_cap_of_one(stack, shared_workers, patient):
    lb = balancer_for(stack, shared_workers)
    clients = [stack.client(program, version) for program, version in VERSIONS]
    for client in clients:
        if client.program == "buildx":
            client.builder(lb.address)
    once = uuid.uuid4().hex
    builds = [clients[i % 4].start_build(lb.address, patient, name=f"b{i}", args={"ID": f"{once}-{i}", "SECONDS": 10})
              for i in range(12)]
    ended = [build.wait(150).check() for build in builds]

    assert [(b.out / "result").read_text() for b in ended] == [f"built {once}-{i}\n" for i in range(12)]
    refs = {b.ref for b in ended}
    assert [most_at_once(w, refs) for w in shared_workers] == [1, 1, 1]
    assert [len(refs & set(w.history())) for w in shared_workers] == [4, 4, 4]
    assert lb.metric("buildkit_lb_queue_wait_seconds_count") == 12
    assert lb.metric("buildkit_lb_queue_length") == 0
    assert lb.metric("buildkit_lb_worker_max_builds", worker="w1") == 1


def test_a_project_with_many_builds_lets_others_have_their_turn(stack, one_worker, patient):
    lb = balancer_for(stack, [one_worker])
    busy = occupy(stack, lb, patient)
    client = stack.client()

    def start(key, number):
        args = {"ID": uuid.uuid4().hex, "SECONDS": 0, "BUILDKIT_LB_KEY": key}
        build = client.start_build(lb.address, patient, name=f"{key}{number}", args=args)
        wait_until(lambda: "position" in build.output(), "the build to wait")
        return build

    big = [start("big", i) for i in range(5)]
    small = start("small", 0)
    assert "position 2 of 6" in small.output()
    busy.kill()
    ended = sorted((b.wait(60).check() for b in [*big, small]), key=lambda b: b.ended)
    assert [b.name for b in ended].index("small0") <= 2


def test_a_waiting_client_is_told_its_place(stack, one_worker, patient):
    lb = balancer_for(stack, [one_worker])
    busy = occupy(stack, lb, patient)
    builds = []
    for number, (program, version) in enumerate(VERSIONS, 1):
        # Each a project of its own: those of one project take turns with the others.
        args = {"ID": uuid.uuid4().hex, "SECONDS": 0, "BUILDKIT_LB_KEY": f"project-{number}"}
        builds.append(stack.client(program, version).start_build(lb.address, patient, name=f"b{number}", args=args))
        wait_until(lambda n=number, b=builds[-1]: f"position {n} of" in b.output(), f"place {number} to be told")
        assert "[buildkit-lb] waiting for a free worker" in builds[-1].output()
    lb.wait_metric("buildkit_lb_queue_length", 4)
    # The same place is told again while it does not change.
    wait_until(lambda: re.search(r"position 1 of 4.*1\d\.\ds", builds[0].output()), "the place to be told again", 25)
    builds[0].interrupt()
    wait_until(lambda: "position 1 of 3" in builds[1].output(), "the next one to move up")
    busy.kill()
    for build in builds[1:]:
        ended = build.wait(60).check()
        assert re.search(r"\[buildkit-lb\] w1 \(least-active-builds\)", ended.output), ended.output


@pytest.mark.parametrize("program,version", VERSIONS)
def test_a_cancelled_build_leaves_the_queue_and_never_reaches_a_worker(stack, one_worker, patient, program, version):
    lb = balancer_for(stack, [one_worker])
    busy = occupy(stack, lb, patient)
    known = set(one_worker.history())
    build = stack.client(program, version).start_build(lb.address, patient, args={"ID": uuid.uuid4().hex})
    lb.wait_metric("buildkit_lb_queue_length", 1)
    build.interrupt()
    lb.wait_metric("buildkit_lb_queue_length", 0, timeout=5)
    assert build.wait(20).code != 0
    assert busy.running() and set(one_worker.history()) == known


@pytest.mark.parametrize("program,version", VERSIONS)
def test_a_full_queue_and_a_wait_that_is_too_long_say_so(stack, one_worker, patient, program, version):
    lb = balancer_for(stack, [one_worker], queue={"max_length": 1, "timeout": "3s"})
    occupy(stack, lb, patient)
    client = stack.client(program, version)
    waits = client.start_build(lb.address, patient, name="waits", args={"ID": uuid.uuid4().hex})
    lb.wait_metric("buildkit_lb_queue_length", 1)
    refused = client.start_build(lb.address, patient, name="refused", args={"ID": uuid.uuid4().hex}).wait(20)
    gave_up = waits.wait(20)

    assert refused.code != 0 and gave_up.code != 0
    # A client that hears of it late tries for another 13 s and more.
    assert refused.seconds < 5 and gave_up.seconds < 8
    assert "the queue of pool default is full: 1 of at most 1 builds" in refused.output, refused.output
    assert "no worker of pool default became free within 3 s" in gave_up.output, gave_up.output
    assert lb.metric("buildkit_lb_queue_rejected_total", reason="full") == 1
    assert lb.metric("buildkit_lb_queue_rejected_total", reason="timeout") == 1


@pytest.mark.parametrize("program,version", VERSIONS)
def test_a_worker_that_comes_late_serves_the_build_that_waits(stack, quick, patient, program, version):
    first, late = stack.workers("current", "current")
    late.kill()
    lb = balancer_for(stack, [first, late])
    occupy(stack, lb, patient)
    build = stack.client(program, version).start_build(lb.address, quick, args={"ID": "late"})
    lb.wait_metric("buildkit_lb_queue_length", 1)
    late.start()
    ended = build.wait(30).check()
    assert where(ended, [late]) == [late]


@pytest.mark.parametrize("version", ["current", "v0.13"])
def test_a_linked_bake_on_one_worker_with_a_cap_of_one(stack, one_worker, tmp_path, version):
    lb = balancer_for(stack, [one_worker])
    targets = {"base": {"context": str(own_file(tmp_path, "base"))},
               "app": {"context": str(own_file(tmp_path, "app", ["base"])), "contexts": {"base": "target:base"}}}
    build = start_bake(stack.client("buildx", version), lb.address, targets).wait(60).check()
    assert tree(build.out) == LINKED_TREE
    assert lb.metric("buildkit_lb_picks_total", reason="linked") == 1
    assert landed(build, [one_worker]) == {"w1": 2}


def test_a_bake_with_deferred_output_on_one_worker_with_a_cap_of_one(stack, one_worker, quick, patient):
    lb = balancer_for(stack, [one_worker])
    once = uuid.uuid4().hex
    targets = {f"t{i}": {"context": str(quick), "args": {"ID": f"{once}-{i}"}} for i in range(4)}
    began = time.monotonic()
    bake = start_bake(stack.client("buildx"), lb.address, targets, extra=["--jobs", "defer-output"])
    build = bake.wait(90).check()
    assert tree(build.out) == {f"t{i}/result": f"built {once}-{i}\n".encode() for i in range(4)}
    assert "over its cap, because other targets wait for this one" in build.output
    assert lb.metric("buildkit_lb_picks_total", reason="over-cap") == 3
    assert time.monotonic() - began >= 10


@pytest.mark.parametrize("seen_before", [True, False])
def test_a_pool_without_workers_lets_builds_wait_if_it_is_told_to(stack, one_worker, quick, seen_before):
    """Scaling from zero, also by a balancer that has never seen a worker."""
    if not seen_before:
        one_worker.kill()
    lb = balancer_for(stack, [one_worker], start=False, queue={"when_empty": "wait"})
    lb.launch()
    if seen_before:
        lb.wait_worker_up(one_worker)
        stack.client().build(lb.address, quick, args={"ID": "before"}).check()
        one_worker.kill()
    lb.wait_worker_up(one_worker, False)
    builds = [stack.client(program, version).start_build(lb.address, quick, args={"ID": f"{program}-{version}"})
              for program, version in VERSIONS]
    for build in builds:
        wait_until(lambda b=build: "[buildkit-lb] waiting" in b.output() or lb.metric("buildkit_lb_queue_length") >= 4,
                   "the builds to wait")
    one_worker.start()
    for build in builds:
        build.wait(60).check()


def test_builds_that_waited_longer_than_every_deadline_pass(long_wait, capsys):
    """The builds were started when this file's tests began."""
    long_wait.busy.wait(LONG_WAIT + 30).check()
    for one, running in long_wait.waiting:
        build = running.wait(60).check()
        assert (build.out / "result").read_text() == f"built {one}\n"
        waited = max(float(s) for s in re.findall(r"position \d of \d.*?([\d.]+)s", build.output))
        assert waited > LONG_WAIT - 20, build.output
    for bake in long_wait.bakes:
        build = bake.wait(60).check()
        assert tree(build.out) == LINKED_TREE
        assert "[buildkit-lb] w1 (with the target it is linked to)" in build.output.replace("app buildkit-lb", "buildkit-lb")
    with capsys.disabled():
        print("\n" + long_wait.waiting[-1][1].output()[:1500])
