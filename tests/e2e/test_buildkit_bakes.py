"""`buildx bake` through a `protocol: buildkit` listener: the targets of one client spread over the pool, and where
they belong together they are built from the right files."""

import uuid

import pytest

from harness import contexts
from harness.bake import bake, landed, own_file, refs_of, start_bake, tree
from harness.balancer import buildkit_pool

BOTH_VERSIONS = pytest.mark.parametrize("version", ["current", "v0.13"])


@pytest.fixture
def fresh_balancer(stack, shared_workers):
    """One that no other test builds through meanwhile: for exact numbers."""
    return stack.balancer([buildkit_pool(shared_workers)], protocol="buildkit", log={"level": "debug"})


@BOTH_VERSIONS
def test_nine_targets_with_one_shared_context_run_three_on_each_worker(stack, fresh_balancer, shared_workers, quick,
                                                                       version):
    once = uuid.uuid4().hex
    targets = {f"t{i}": {"context": str(quick), "args": {"ID": f"{once}-{i}"}} for i in range(9)}
    build = bake(stack.client("buildx", version), fresh_balancer.address, targets).check()

    assert landed(build, shared_workers) == {"w1": 3, "w2": 3, "w3": 3}
    assert tree(build.out) == {f"t{i}/result": f"built {once}-{i}\n".encode() for i in range(9)}
    fresh_balancer.wait_metric("buildkit_lb_builds_total", 9, result="ok")
    fresh_balancer.wait_metric("buildkit_lb_connections", 0)


@BOTH_VERSIONS
def test_nine_targets_with_contexts_of_their_own_do_too(stack, fresh_balancer, shared_workers, tmp_path, version):
    targets = {f"t{i}": {"context": str(own_file(tmp_path, f"t{i}"))} for i in range(9)}
    build = bake(stack.client("buildx", version), fresh_balancer.address, targets).check()

    assert landed(build, shared_workers) == {"w1": 3, "w2": 3, "w3": 3}
    assert tree(build.out) == {f"t{i}/own-t{i}": f"file of t{i}\n".encode() for i in range(9)}


def linked(folder, parents_of):
    return {name: {"context": str(own_file(folder, name, parents)),
                   "contexts": {parent: f"target:{parent}" for parent in parents}}
            for name, parents in parents_of.items()}


LINKS = {
    "chain": {"base": [], "middle": ["base"], "top": ["middle"]},
    "diamond": {"base": [], "left": ["base"], "right": ["base"], "top": ["left", "right"]},
    "two families": {"a": [], "a1": ["a"], "a2": ["a"], "b": [], "b1": ["b"], "b2": ["b"]},
}


@BOTH_VERSIONS
@pytest.mark.parametrize("shape", LINKS)
def test_linked_targets_are_built_from_the_right_files(stack, fresh_balancer, shared_workers, tmp_path, version, shape):
    targets = linked(tmp_path, LINKS[shape])
    client = stack.client("buildx", version)
    direct = bake(client, shared_workers[0].address, targets, name="direct").check()
    through = bake(client, fresh_balancer.address, targets).check()

    assert tree(through.out) == tree(direct.out)
    assert len(tree(through.out / "top" if "top" in LINKS[shape] else through.out / "a1")) >= 2
    # Every child is where its parents are.
    where = {t: [w.name for w in shared_workers if ref in w.history()] for t, ref in refs_of(through).items()}
    for child, parents in LINKS[shape].items():
        for parent in parents:
            assert where[child] == where[parent], where


@BOTH_VERSIONS
def test_a_shared_context_serves_linked_targets_as_well(stack, fresh_balancer, shared_workers, tmp_path, version):
    """The parent and its three children name one context, so one shared session, and the parent's too."""
    context = contexts.dockerfile(tmp_path / "shared", """\
FROM scratch AS base
COPY one /one
FROM parent AS child
ARG ID
COPY two /two-$ID
""", {"one": "1", "two": "2"})
    targets = {"base": {"context": str(context), "target": "base"}}
    for i in range(3):
        targets[f"c{i}"] = {"context": str(context), "target": "child", "args": {"ID": str(i)},
                            "contexts": {"parent": "target:base"}}
    build = bake(stack.client("buildx", version), fresh_balancer.address, targets).check()
    assert tree(build.out) == {"base/one": b"1",
                               **{f"c{i}/one": b"1" for i in range(3)}, **{f"c{i}/two-{i}": b"2" for i in range(3)}}


@BOTH_VERSIONS
def test_named_contexts(stack, buildkit_balancer, tmp_path, version):
    """Local directories beside the main context, one shared by two targets, and one that is another stage's name."""
    common = contexts.dockerfile(tmp_path / "common", "", {"common": "of all\n"})
    targets = {}
    for name in ("a", "b"):
        extra = contexts.dockerfile(tmp_path / f"extra-{name}", "", {"extra": f"of {name}\n"})
        main = contexts.dockerfile(tmp_path / f"main-{name}", """\
FROM scratch
COPY --from=common common /
COPY --from=extra extra /
COPY own /
""", {"own": f"own {name}\n"})
        targets[name] = {"context": str(main), "contexts": {"common": str(common), "extra": str(extra)}}
    build = bake(stack.client("buildx", version), buildkit_balancer.address, targets).check()
    assert tree(build.out) == {
        "a/common": b"of all\n", "a/extra": b"of a\n", "a/own": b"own a\n",
        "b/common": b"of all\n", "b/extra": b"of b\n", "b/own": b"own b\n"}


@pytest.mark.parametrize("kib", [1, 200])
@BOTH_VERSIONS
def test_a_failing_dockerfile_fails_as_without_us_and_harms_no_other_target(stack, fresh_balancer, shared_workers,
                                                                            tmp_path, quick, version, kib):
    """The error holds the whole Dockerfile, in one header field of the answer."""
    padding = "".join(f"# {i:04} {'x' * 56}\n" for i in range(kib * 16))
    failing = contexts.dockerfile(tmp_path / "failing", f"{padding}FROM base\nRUN sleep 3; echo before && exit 7\n")
    once = uuid.uuid4().hex
    targets = {f"t{i}": {"context": str(quick), "args": {"ID": f"{once}-{i}"}} for i in range(5)}
    targets["failing"] = {"context": str(failing)}
    client = stack.client("buildx", version)
    direct = bake(client, shared_workers[0].address, targets, name="direct")
    through = bake(client, fresh_balancer.address, targets)

    assert through.code == direct.code != 0
    assert "exit code: 7" in error_text(through)
    assert error_text(through) == error_text(direct)
    # buildx cancels what still runs when a target fails: these were done before that.
    assert tree(through.out) == {f"t{i}/result": f"built {once}-{i}\n".encode() for i in range(5)}
    fresh_balancer.wait_metric("buildkit_lb_builds_total", 5, result="ok")
    fresh_balancer.wait_metric("buildkit_lb_builds_total", 1, result="error")


def error_text(build):
    """What the client says of the error at its end, without the times of the output lines in it."""
    lines = build.output.splitlines()
    begin = next(i for i, line in enumerate(lines) if line == "------")
    return "\n".join(line.partition(" ")[2] if line[:1].isdigit() and "." in line.partition(" ")[0] else line
                     for line in lines[begin:])


def test_two_clients_bake_the_same_names_at_once(stack, buildkit_balancer, tmp_path):
    """Both name their targets and the folders of their contexts alike: nothing of one goes to the other."""
    builds = []
    for who, version in (("one", "current"), ("two", "v0.13")):
        folder = tmp_path / who
        context = contexts.dockerfile(folder / "app", "FROM scratch\nARG ID\nCOPY own /own-$ID\n", {"own": f"of {who}"})
        targets = {f"t{i}": {"context": str(context), "args": {"ID": str(i)}} for i in range(4)}
        builds.append((who, start_bake(stack.client("buildx", version), buildkit_balancer.address, targets)))
    for who, running in builds:
        assert tree(running.wait().check().out) == {f"t{i}/own-{i}": f"of {who}".encode() for i in range(4)}
