"""Networks that lose packets, delay them, or are cut, while builds run. (docs/failures.md)"""

import pytest

from harness import chaos, faults
from harness.stack import Stack

SLACK = 5  # seconds; the machine may be busy


@pytest.fixture(scope="module")
def rig(private_network, tmp_path_factory):
    with Stack(tmp_path_factory.mktemp("chaos")) as stack:
        yield chaos.Rig(stack, private_network).start()


@pytest.mark.parametrize("fault,counted", [(faults.LOSSY, "lost"), (faults.SLOW, "delayed"), (faults.CUT_SHORTLY, "lost")],
                         ids=["3 % lost", "100 ms away", "cut off for 1 s"])
def test_a_bad_network_costs_no_build(rig, fault, counted):
    before = rig.links[0].heal()[counted]
    outcome = rig.run(fault)
    for build in [*outcome.on_victim, *outcome.elsewhere]:
        build.check()
    assert rig.links[0].heal()[counted] > before, "the network was not bad"


def test_a_worker_that_is_cut_off_is_out_in_time_and_its_builds_go_on_when_it_is_back(rig):
    outcome = rig.run(faults.CUT_A_WHILE)
    assert outcome.noticed < chaos.PROMISED + SLACK
    for build in [*outcome.on_victim, *outcome.elsewhere]:
        build.check()
    meanwhile = {chaos.placed_on(b.output) for b in outcome.later}
    assert rig.victim.name not in meanwhile
