"""Workers die, freeze and are told to stop while they build: their builds start again on others, and come out as if
nothing had been. See docs/failover.md."""

import json
import tarfile
import uuid

import pytest

from harness import contexts
from harness.agent import compile_list_keys, ssh_agent
from harness.bake import start_bake, tree
from harness.balancer import buildkit_pool
from harness.clients import VERSIONS
from harness.failover import balancer, let_others_in, line, on_registry, push_base, restarts
from harness.process import wait_until
from harness.stack import where

EVERY_CLIENT = pytest.mark.parametrize("program,version", VERSIONS, ids=["-".join(c) for c in VERSIONS])
BOTH_VERSIONS = pytest.mark.parametrize("version", ["current", "v0.13"])


@pytest.mark.parametrize("victim", ["current", "v0.13"])
def test_a_killed_worker_costs_no_client_its_build(stack, patient, victim):
    """During RUN, between workers of both versions; and what is told of it."""
    first, second = workers = stack.workers(victim, "v0.13" if victim == "current" else "current")
    lb = balancer(stack, workers)
    builds = [stack.client(*client).start_build(lb.address, patient, args={"ID": f"b{i}", "SECONDS": "3"})
              for i, client in enumerate(VERSIONS)]
    for i, build in enumerate(builds):
        build.wait_step(f"b{i}")
    let_others_in(lb, workers)
    first.kill()
    for i, build in enumerate(builds):
        ended = build.wait(60).check()
        assert tree(ended.out) == {"result": f"built b{i}\n".encode()}
        assert line(first, second) in ended.output
        assert where(ended, workers) == [second]
    assert restarts(lb) == 4
    lb.wait_metric("buildkit_lb_builds_total", 4, worker=second.name, result="ok")
    lb.wait_metric("buildkit_lb_worker_active_builds", 0)
    told = json.loads(lb.get("/api/v1/builds")[1])["recent"]
    assert [(b["attempts"], b["lost_workers"], b["worker"]) for b in told] == [(2, [first.name], second.name)] * 4


@EVERY_CLIENT
def test_a_frontend_that_waits_for_a_registry_begins_again(stack, tmp_path, program, version):
    """During LLBBridge/Solve."""
    first, second = workers = stack.workers("current", "v0.13")
    registry = stack.registry()
    lb = balancer(stack, workers)
    client = stack.client(program, version)
    push_base(client, lb.address, tmp_path / "base", registry)
    registry.pause()
    build = client.start_build(lb.address, on_registry(tmp_path / "context", registry), args={"ID": "asks"})
    wait_until(registry.asked, "the worker to ask the registry")
    let_others_in(lb, workers)
    first.kill()
    registry.resume()
    ended = build.wait(60).check()
    assert line(first, second) in ended.output
    assert tree(ended.out) == {"result": b"built asks\n", "base": b"of the base\n"}


def test_mounts_move(stack, tmp_path):
    """A secret and an ssh agent. (The name is short: sockets have paths of 107 bytes at most.)"""
    first, second = workers = stack.workers("current", "v0.13")
    lb = balancer(stack, workers)
    context = contexts.dockerfile(tmp_path / "mounts", """\
COPY list-keys /bin/
ARG ID
RUN --mount=type=secret,id=token --mount=type=ssh \\
    echo "step $ID is running" && sleep 3 && cat /run/secrets/token > /secret && list-keys > /keys
FROM scratch
COPY --from=base /secret /keys /
""")
    compile_list_keys(context / "list-keys")
    secret = tmp_path / "secret"
    secret.write_text("the secret\n")
    with ssh_agent(tmp_path / "agent", "the key") as agent:
        builds = [stack.client(*client).start_build(lb.address, context, args={"ID": f"b{i}"}, extra=[
            "--secret", f"id=token,src={secret}", "--ssh", f"default={agent}"]) for i, client in enumerate(VERSIONS)]
        for i, build in enumerate(builds):
            build.wait_step(f"b{i}")
        let_others_in(lb, workers)
        first.kill()
        for build in builds:
            ended = build.wait(60).check()
            assert line(first, second) in ended.output
            assert tree(ended.out) == {"secret": b"the secret\n", "keys": b"the key\n"}


@BOTH_VERSIONS
def test_a_dockerfile_from_stdin_is_still_there(stack, patient, tmp_path, version):
    """buildx has read it and serves it as often as it is asked for."""
    first, second = workers = stack.workers("current", "current")
    lb = balancer(stack, workers)
    given = tmp_path / "given"
    (patient / "Dockerfile").rename(given)
    build = stack.client("buildx", version).start_build(lb.address, patient, args={"ID": "in", "SECONDS": "3"},
                                                        stdin=given, extra=["-f", "-"])
    build.wait_step("in")
    let_others_in(lb, workers)
    first.kill()
    ended = build.wait(60).check()
    assert line(first, second) in ended.output
    assert tree(ended.out) == {"result": b"built in\n"}
    assert where(ended, workers) == [second], "the metadata file names the build that went well"


@BOTH_VERSIONS
@pytest.mark.parametrize("during", ["parent", "child"])
def test_linked_targets_move_together(stack, tmp_path, version, during):
    workers = stack.workers("current", "v0.13", "current")
    first = workers[0]
    lb = balancer(stack, workers)
    slow = {"parent": 0, "child": 0, during: 3}
    parent = contexts.dockerfile(tmp_path / "parent", f"""\
FROM base AS work
RUN echo "step parent is running" && sleep {slow["parent"]} && echo parent > /own
""")
    child = contexts.dockerfile(tmp_path / "child", f"""\
FROM base AS work
COPY --from=parent /own /from-parent
RUN echo "step child is running" && sleep {slow["child"]} && echo child > /own
FROM scratch
COPY --from=work /from-parent /own /
""")
    targets = {"parent": {"context": str(parent)}, "child": {"context": str(child),
                                                             "contexts": {"parent": "target:parent"}}}
    client = stack.client("buildx", version)
    running = start_bake(client, lb.address, targets, extra=["--set", "parent.output=type=cacheonly"])
    wait_until(lambda: f"step {during} is running" in running.output(), "the step")
    let_others_in(lb, workers)
    first.kill()
    ended = running.wait(90)
    if version == "v0.13" and during == "child":
        # Old buildx has ended the parent and its session by now, and nobody else has the parent's files.
        assert not ended.ok and "a session that it needs has ended" in ended.output, ended.output
        return
    ended.check()
    assert tree(ended.out / "child") == {"from-parent": b"parent\n", "own": b"child\n"}
    told = json.loads(lb.get("/api/v1/builds")[1])["recent"]
    moved = {b["worker"] for b in told if b.get("lost_workers") == [first.name]}
    assert len(moved) == 1 and first.name not in moved, told


def test_targets_with_a_shared_context_and_a_secret(stack, tmp_path):
    workers = stack.workers("current", "v0.13", "current")
    lb = stack.balancer([buildkit_pool(workers)], protocol="buildkit", log={"level": "debug"})
    secret = tmp_path / "token"
    secret.write_text("the secret\n")
    context = contexts.dockerfile(tmp_path / "context", """\
FROM base AS work
COPY shared /shared
ARG ID
RUN --mount=type=secret,id=token sleep 4 && cat /run/secrets/token > /secret && echo "$ID" > /id
FROM scratch
COPY --from=work /shared /secret /id /
""", {"shared": "of all\n"})
    targets = {f"t{i}": {"context": str(context), "args": {"ID": str(i)}, "secret": [f"id=token,src={secret}"]}
               for i in range(6)}
    running = start_bake(stack.client("buildx"), lb.address, targets)
    wait_until(lambda: all(w.step_processes() for w in workers), "steps on every worker")
    workers[1].kill()
    ended = running.wait(90).check()
    assert tree(ended.out) == {f"t{i}/{name}": text for i in range(6) for name, text in
                               (("shared", b"of all\n"), ("secret", b"the secret\n"), ("id", f"{i}\n".encode()))}
    assert restarts(lb) >= 1


def test_a_context_from_stdin_fails_at_once_and_says_why(stack, patient, tmp_path):
    workers = stack.workers("current", "current")
    lb = balancer(stack, workers)
    # buildx knows an archive by its first bytes, and takes one that begins with extended headers for a Dockerfile.
    with tarfile.open(tmp_path / "context.tar", "w", format=tarfile.GNU_FORMAT) as tar:
        tar.add(patient, arcname=".")
    build = stack.client("buildx").start_build(lb.address, "-", args={"ID": "in", "SECONDS": "300"},
                                               stdin=tmp_path / "context.tar")
    build.wait_step("in")
    let_others_in(lb, workers)
    workers[0].kill()
    ended = build.wait(20)
    assert not ended.ok
    assert f"worker {workers[0].name} was lost" in ended.output and "read only once" in ended.output, ended.output
    assert lb.metric("buildkit_lb_failovers_total", result="refused") == 1


def test_a_build_can_opt_out(stack, patient):
    workers = stack.workers("current", "current")
    lb = balancer(stack, workers)
    build = stack.client("buildctl").start_build(lb.address, patient, args={
        "ID": "out", "SECONDS": "300", "BUILDKIT_LB_FAILOVER": "off"})
    build.wait_step("out")
    let_others_in(lb, workers)
    workers[0].kill()
    ended = build.wait(20)
    assert not ended.ok and f"worker {workers[0].name} was lost" in ended.output, ended.output
    assert restarts(lb) == 0


@BOTH_VERSIONS
def test_sigterm_of_a_worker_that_cancels_everything(stack, patient, version):
    """v0.13 cancels its builds when it is told to stop; newer ones finish them."""
    first, second = workers = stack.workers("v0.13", "current")
    lb = balancer(stack, workers)
    builds = [stack.client(program, version).start_build(lb.address, patient, args={"ID": program, "SECONDS": "3"})
              for program in ("buildctl", "buildx")]
    for build, program in zip(builds, ("buildctl", "buildx")):
        build.wait_step(program)
    let_others_in(lb, workers)
    first.terminate()
    for build in builds:
        ended = build.wait(60).check()
        assert line(first, second) in ended.output
    assert restarts(lb) == 2


def test_a_frozen_worker_is_lost_in_the_end(stack, patient):
    first, second = workers = stack.workers("current", "v0.13")
    lb = balancer(stack, workers, liveness="3s")
    build = stack.client("buildx").start_build(lb.address, patient, args={"ID": "ice", "SECONDS": "2"})
    build.wait_step("ice")
    let_others_in(lb, workers)
    first.pause()
    ended = build.wait(60).check()
    assert line(first, second) in ended.output
    assert tree(ended.out) == {"result": b"built ice\n"}


def test_two_workers_are_killed_in_one_build(stack, patient):
    workers = stack.workers("current", "v0.13", "current")
    lb = balancer(stack, workers)
    once = uuid.uuid4().hex
    build = stack.client("buildx").start_build(lb.address, patient, args={"ID": once, "SECONDS": "3"})
    for victim, others in ((0, workers[1:2]), (1, workers[2:])):
        wait_until(workers[victim].step_processes, f"the step on {workers[victim].name}")
        for other in others:
            assert lb.command("undrain", other.name).returncode == 0
        workers[victim].kill()
    ended = build.wait(60).check()
    assert line(workers[0], workers[1]) in ended.output and line(workers[1], workers[2]) in ended.output
    assert tree(ended.out) == {"result": f"built {once}\n".encode()}
    assert where(ended, workers) == [workers[2]]


def test_a_step_that_fails_after_a_failover_fails_as_it_would_have(stack, tmp_path):
    first, second = workers = stack.workers("current", "current")
    lb = balancer(stack, workers)
    context = contexts.dockerfile(tmp_path / "context", """\
FROM base
RUN echo "step bad is running" && sleep 3 && exit 7
""")
    build = stack.client("buildx").start_build(lb.address, context)
    build.wait_step("bad")
    let_others_in(lb, workers)
    first.kill()
    ended = build.wait(60)
    assert not ended.ok
    assert line(first, second) in ended.output and "exit code: 7" in ended.output, ended.output
    assert "was lost:" not in ended.output.splitlines()[-1]


def test_a_build_waits_for_a_worker_to_come_back(stack, patient):
    first, second = workers = stack.workers("current", "current")
    lb = balancer(stack, workers)
    build = stack.client("buildx").start_build(lb.address, patient, args={"ID": "w", "SECONDS": "2"})
    build.wait_step("w")
    let_others_in(lb, workers)
    second.kill()
    lb.wait_worker_up(second, False)
    first.kill()
    wait_until(lambda: "waiting for a free worker" in build.output(), "the build to say that it waits")
    second.start()
    ended = build.wait(60).check()
    assert line(first, second) in ended.output
