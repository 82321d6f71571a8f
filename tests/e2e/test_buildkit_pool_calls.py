"""The pool answers as one BuildKit: what clients ask about a daemon, through a `protocol: buildkit` listener, is the
union of what the workers say directly."""

import time

import pytest

from harness import contexts
from harness.balancer import buildkit_pool
from harness.pool_calls import Comparison

BOTH_VERSIONS = pytest.mark.parametrize("version", ["current", "v0.13"])

# The default is 10 s; a worker that hangs is waited for no longer.
TIMEOUT = "2s"


@pytest.fixture
def workers(stack):
    """Three, of both versions; one says that it is of another architecture."""
    made = stack.workers("current", "v0.13", names=["w1", "w2"])
    return [*made, *stack.workers("current", names=["w3"], platforms=["linux/arm64", "linux/amd64"])]


@pytest.fixture
def context(tmp_path):
    return contexts.dockerfile(tmp_path / "context", "FROM scratch\nCOPY own /own\n", {"own": "x"})


def fresh_balancer(stack, workers):
    """One that has seen no build."""
    return stack.balancer([buildkit_pool(workers)], protocol="buildkit", limits={"pool_call_timeout": TIMEOUT},
                          log={"level": "debug"})


def check(rows):
    rows = list(rows)
    assert rows
    wrong = [row for row in rows if not row.ok]
    assert not wrong, "\n".join(f"{r.client}: {r.command}: expected {r.expected}, got {r.got}" for r in wrong)


@BOTH_VERSIONS
def test_the_pool_answers_as_one_buildkit(stack, workers, context, version):
    asked = Comparison(stack, workers, fresh_balancer(stack, workers), version)
    asked.build_everywhere(context)
    # Some that ran through the balancer too.
    asked.buildx.build(asked.balancer.address, context).check()
    check(asked.reading())
    check(asked.removing())
    asked.build_everywhere(context)
    check([asked.buildx_prune_row()])


def test_a_worker_that_hangs_or_is_dead_delays_by_the_timeout_and_is_named(stack, workers, context):
    balancer = fresh_balancer(stack, workers)
    asked = Comparison(stack, workers, balancer, "current")
    asked.build_everywhere(context)
    workers[1].kill()
    workers[2].pause()
    try:
        began = time.monotonic()
        usage = asked.buildctl.run("--addr", balancer.address, "du")
        took = time.monotonic() - began
    finally:
        workers[2].resume()
    assert usage.stdout
    assert took < 6
    asked.workers = workers[:1]
    assert "worker=w3" in balancer.log.read_text()
