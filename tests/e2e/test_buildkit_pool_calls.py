"""The pool answers as one BuildKit: what clients ask about a daemon, through a `protocol: buildkit` listener, is the
union of what the workers say directly."""

import time

import pytest

from harness import contexts
from harness.balancer import HEALTH_CHECK, buildkit_pool
from harness.pool_calls import Comparison, ids

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


def fresh_balancer(stack, workers, probes):
    """One that has seen no build. With `probes` of type tcp it has not heard anything of its workers either."""
    pool = buildkit_pool(workers, health_check={**HEALTH_CHECK, "type": probes})
    return stack.balancer([pool], protocol="buildkit", limits={"pool_call_timeout": TIMEOUT}, log={"level": "debug"})


def check(rows):
    rows = list(rows)
    assert rows
    wrong = [row for row in rows if not row.ok]
    assert not wrong, "\n".join(f"{r.client}: {r.command}: expected {r.expected}, got {r.got}" for r in wrong)


@pytest.mark.parametrize("version, probes", [("current", "buildkit"), ("v0.13", "tcp")])
def test_the_pool_answers_as_one_buildkit(stack, workers, context, version, probes):
    asked = Comparison(stack, workers, fresh_balancer(stack, workers, probes), version)
    asked.build_everywhere(context)
    # Some that ran through the balancer too.
    asked.buildx.build(asked.balancer.address, context).check()
    check(asked.reading())
    check(asked.removing())
    asked.build_everywhere(context)
    check([asked.buildx_prune_row()])


def test_a_worker_that_hangs_or_is_dead_delays_by_the_timeout_and_is_named(stack, workers, context):
    balancer = fresh_balancer(stack, workers, "tcp")  # which a worker that hangs still passes
    asked = Comparison(stack, workers, balancer, "current")
    asked.build_everywhere(context)
    workers[1].kill()
    workers[2].pause()
    try:
        began = time.monotonic()
        usage = asked.buildctl.run("--addr", balancer.address, "du", "--format", "{{json .}}")
        took = time.monotonic() - began
    finally:
        workers[2].resume()
    direct = asked.buildctl.run("--addr", workers[0].address, "du", "--format", "{{json .}}")
    assert ids(usage.stdout) == ids(direct.stdout)
    assert took < 6
    named = [line for line in balancer.log.read_text().splitlines() if "left out of a call to the whole pool" in line]
    assert any("worker=w3" in line for line in named), named
