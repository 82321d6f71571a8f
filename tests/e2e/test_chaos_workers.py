"""Workers that die, hang, are reset and come back while builds run on all of them and others wait; and a balancer that
dies. (docs/failures.md, figures by scripts/chaos-table)"""

import pytest

from harness import chaos, faults
from harness.balancer import buildkit_pool
from harness.stack import Stack, where

SLACK = 5  # seconds; the machine may be busy


@pytest.fixture(scope="module")
def rig(private_network, tmp_path_factory):
    with Stack(tmp_path_factory.mktemp("chaos")) as stack:
        yield chaos.Rig(stack, private_network).start()


def check_others(rig, outcome):
    """What holds whatever happens to one worker: no build is lost that is not on it, and none that comes later is
    placed there."""
    for build in outcome.elsewhere:
        build.check()
    assert outcome.connect_failures <= 1, "a dead worker gets no build after its first failure"
    if not outcome.fault.holds:
        return  # it may have been back already
    placed = {chaos.placed_on(b.output) for b in outcome.elsewhere}
    assert placed <= {w.name for w in rig.workers[1:]}, placed


@pytest.mark.parametrize("fault", [faults.KILLED, faults.RESTARTED, faults.RESET],
                         ids=["killed", "restarted", "reset"])
def test_a_worker_that_is_lost_fails_its_own_builds_at_once_and_no_others(rig, fault):
    outcome = rig.run(fault)
    check_others(rig, outcome)
    assert outcome.noticed < SLACK
    for build in outcome.on_victim:
        assert not build.ok and f"worker {rig.victim.name} was lost" in build.output, build.output


def test_a_worker_that_hangs_is_out_in_time_and_its_builds_go_on_when_it_does(rig):
    outcome = rig.run(faults.HUNG)
    check_others(rig, outcome)
    assert outcome.noticed < chaos.PROMISED + SLACK
    for build in outcome.on_victim:
        build.check()


def test_all_workers_gone_and_back_costs_no_build_that_waited(rig):
    outcome = rig.run(faults.ALL_GONE)
    assert outcome.noticed < SLACK
    assert len(outcome.on_victim) == 3 and not any(b.ok for b in outcome.on_victim)
    for build in outcome.queued:
        build.check()


def test_a_killed_balancer_stops_its_builds_and_its_successor_works(rig):
    outcome = rig.run(faults.BALANCER_KILLED)
    assert not any(b.ok for b in [*outcome.on_victim, *outcome.queued])
    # The workers have heard of it: they are free for the builds of the next fault.
    rig.settle()
    running, queued = rig.fill()
    for build in [*running, *queued]:
        build.wait().check()


def test_a_worker_that_refuses_connections_is_tried_once(rig, quick):
    """By builds alone: probes come too late."""
    with Stack(quick.parent / "refused") as stack:
        lb = stack.balancer([buildkit_pool(rig.workers, health_check={**chaos.HEALTH_CHECK, "interval": "1h"})],
                            protocol="buildkit")
        rig.victim.kill()
        client = stack.client()
        for number in range(4):
            build = client.build(lb.address, quick, name=f"b{number}", args={"ID": f"refused-{number}"}).check()
            assert where(build, rig.workers)[0] in rig.workers[1:]
        assert lb.metric("buildkit_lb_upstream_connect_failures_total", worker=rig.victim.name, reason="refused") == 1
        assert not chaos.is_up(lb, rig.victim)
        rig.victim.start()
