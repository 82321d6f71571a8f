"""Small storms (scripts/storms runs large ones): what is done to a pool every week costs no build."""

from harness import storms
from harness.balancer import buildkit_pool

SLACK = 10  # seconds; the machine may be busy


def outputs(builds):
    return [b.output for b in builds]


def test_reloads_during_builds_cost_no_build(stack):
    workers = stack.workers("current", "v0.13", "current")
    found = storms.reloads_during_builds(stack, workers, reloads=20, builds=40)
    assert outputs(found.lost) == []
    assert found.refused == []
    assert all(found.changes[kind] for kind in ("added", "removed", "weights")), found.changes
    assert set(found.placed) == {"w1", "w2", "w3"}, found.placed


def test_a_pool_grows_and_shrinks_with_its_name(stack):
    workers = storms.workers_of_a_name(stack, 5)
    found = storms.a_name_that_changes(stack, workers, builds=10, interval="500ms")
    assert outputs(found.lost) == []
    assert max(found.used_after.values()) < SLACK, found.used_after
    assert found.gone_after < SLACK
    assert outputs(found.misplaced) == []


def test_a_drain_waits_for_the_last_of_10_builds_and_no_other_comes(stack):
    first, other = stack.workers("current", "current")
    found = storms.drain_during_builds(stack, first, other)
    assert found.code == 0 and found.said.splitlines() == ["w1 is draining; 10 builds are on it", "w1 is drained"]
    assert outputs(found.lost) == []
    assert -2 < found.after_last < SLACK
    assert [(b.out / "result").read_text() for b in found.builds] == [f"built r{i}\n" for i in range(10)]
    assert found.later and outputs(found.misplaced) == []


def test_workers_that_are_killed_one_after_the_other_cost_no_build(stack):
    workers = stack.workers("current", "v0.13", "current", "current")
    lb = stack.balancer([buildkit_pool(workers, failover={"attempts": 3})], protocol="buildkit")
    found = storms.kills_during_builds(stack, workers, lb, builds=30, every=4)
    assert outputs(found.lost) == []
    assert len(found.builds) >= 30 and found.moved
