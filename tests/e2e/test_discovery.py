"""Workers found by DNS: every address of a name. (How a pool follows a name under load: test_storms.py.)"""

from harness import storms
from harness.process import wait_until
from harness.stack import where


def test_a_name_that_can_not_be_resolved_any_more_changes_nothing(stack, quick):
    workers = storms.workers_of_a_name(stack, 2)
    name = storms.Name(stack, workers, interval="200ms")
    lb, client = name.balancer, stack.client("buildx")
    name.set([])
    wait_until(lambda: (lb.metric("buildkit_lb_discovery_failures_total") or 0) >= 2, "failed lookups")
    builds = [client.build(lb.address, quick, name=f"b{i}", args={"ID": f"unknown-{i}"}).check() for i in range(4)]
    assert {w for b in builds for w in where(b, workers)} == set(workers)
    # One that comes back under its address is the same worker.
    name.set(workers[:1])
    name.wait(workers[:1])
    name.set(workers)
    name.wait(workers)
