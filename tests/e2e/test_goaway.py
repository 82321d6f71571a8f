"""Workers that are told to stop, as `systemctl stop buildkit` and a container runtime do it."""

import pytest

from harness.balancer import buildkit_pool
from harness.process import wait_until
from harness.stack import where


def entry(lb, worker):
    return next(w for w in lb.workers()["workers"] if w["name"] == worker.name)


@pytest.mark.parametrize("check, program", [("buildkit", "buildx"), ("buildkit", "buildctl"), ("tcp", "buildx")])
def test_a_worker_on_sigterm_ends_its_build_while_new_ones_go_elsewhere(stack, quick, patient, check, program):
    first, other = stack.workers("current", "current")
    lb = stack.balancer([buildkit_pool([first, other], health_check={"type": check, "interval": "1s"})],
                        protocol="buildkit")
    client = stack.client(program)
    assert lb.command("drain", other.name).returncode == 0
    running = client.start_build(lb.address, patient, name="running", args={"ID": "on-first", "SECONDS": "25"})
    running.wait_step("on-first")
    assert lb.command("undrain", other.name).returncode == 0

    first.terminate()
    wait_until(lambda: entry(lb, first)["going_away"], "the worker to go away")
    assert lb.metric("buildkit_lb_worker_going_away", worker=first.name) == 1
    assert lb.metric("buildkit_lb_upstream_goaways_total", worker=first.name) >= 1
    table = lb.command("status").stdout
    assert "going away" in table or " down " in table, table
    later = [client.build(lb.address, quick, name=f"later{n}", args={"ID": f"later-{n}"}) for n in range(3)]
    assert running.running(), "the build of the worker that stops was to outlast the others"
    for build in later:
        build.check()
    assert {b.ref for b in later} <= set(other.history())
    running.wait().check()
    assert (running.out / "result").read_text() == "built on-first\n"
    wait_until(lambda: not first.running(), "the worker to end")

    first.start()
    lb.wait_metric("buildkit_lb_worker_going_away", 0, worker=first.name)
    lb.wait_worker_up(first)
    assert lb.command("drain", other.name).returncode == 0
    again = client.build(lb.address, quick, name="again", args={"ID": "again"}).check()
    assert where(again, [first, other]) == [first]
    log = lb.log.read_text()
    assert log.count("worker is going away: it gets no new builds until it is found up again") == 1
    assert log.count("worker is back: it takes new connections after its GOAWAY") == 1
