"""`policy: cache-affinity`: the same project to the same worker."""

import uuid

import pytest

from harness.balancer import buildkit_pool
from harness.clients import VERSIONS
from harness.stack import where


@pytest.mark.parametrize("program,version", VERSIONS)
def test_builds_of_a_project_stay_on_the_worker_that_has_its_cache(stack, shared_workers, quick, program, version):
    lb = stack.balancer([buildkit_pool(shared_workers, policy="cache-affinity")], protocol="buildkit")
    client = stack.client(program, version)
    once = uuid.uuid4().hex
    homes = {}  # the keys are fixed, and so are their homes: random ones may by chance all have the same
    for number in range(3):  # three rounds of changing sources
        for project in ("a", "b", "c", "d", "e", "f"):
            build = client.build(lb.address, quick, name=f"{project}{number}", args={
                "ID": f"{once}-{project}-{number}", "BUILDKIT_LB_KEY": f"project-{project}"}).check()
            homes.setdefault(project, []).append(where(build, shared_workers)[0].name)
    assert all(len(set(names)) == 1 for names in homes.values()), homes
    assert len({names[0] for names in homes.values()}) > 1, "one worker for all projects"
    assert lb.metric("buildkit_lb_picks_total", reason="new") == 6
    assert lb.metric("buildkit_lb_picks_total", reason="home") == 12
    assert lb.metric("buildkit_lb_remembered_keys") == 6


def test_a_project_leaves_its_lost_worker_and_comes_back_with_it(stack, quick):
    workers = stack.workers("current", "current")
    lb = stack.balancer([buildkit_pool(workers, policy="cache-affinity")], protocol="buildkit")
    client = stack.client()

    def build(number):
        done = client.build(lb.address, quick, args={"ID": str(number), "BUILDKIT_LB_KEY": "app"}).check()
        return where(done, workers)[0]

    home = build(1)
    home.kill()
    lb.wait_worker_up(home, False)
    assert build(2) is not home
    home.start()
    lb.wait_worker_up(home)
    assert build(3) is home
