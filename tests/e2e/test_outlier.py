"""Outlier detection with real workers: who fails real traffic gets no builds for a while, whatever probes say."""

import socket
import struct
import threading
import time

import pytest

from harness import contexts
from harness.balancer import buildkit_pool, pool
from harness.process import wait_until
from harness.stack import where

EJECTION = 4


class Gate:
    """A TCP relay before a worker that, while it is `broken`, resets a connection once its client has sent so much as
    a Solve: what probes ask is less."""

    ENOUGH = 700

    def __init__(self, worker):
        self.name = worker.name
        self.worker = worker
        self.broken = False
        self.resets = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            worker = socket.create_connection(("127.0.0.1", self.worker.port))
            for pair in ((client, worker, True), (worker, client, False)):
                threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def _pump(self, source, sink, from_client):
        sent = 0
        try:
            while data := source.recv(65536):
                sent += len(data)
                if self.broken and from_client and sent > self.ENOUGH:
                    self.resets += 1
                    for side in (source, sink):
                        side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    break
                sink.sendall(data)
        except OSError:
            pass
        for side in (source, sink):
            try:
                side.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            side.close()

    def close(self):
        self._listening.close()


@pytest.fixture
def gate(shared_workers):
    made = Gate(shared_workers[0])
    yield made
    made.close()


def told(lb, name):
    return next(w for w in lb.workers()["workers"] if w["name"] == name)


def outliers(failures):
    return {"consecutive_failures": failures, "ejection_time": f"{EJECTION}s"}


def test_a_worker_that_resets_builds_is_ejected_and_comes_back(stack, shared_workers, quick, gate):
    other = shared_workers[2]
    lb = stack.balancer([buildkit_pool([gate, other], policy="round-robin", health_check={"type": "off"},
                                       outlier_detection=outliers(2))], protocol="buildkit", start=False)
    lb.launch()
    wait_until(lambda: lb.get("/healthz")[0] == 200, "the balancer to answer")
    client = stack.client("buildctl")
    gate.broken = True
    for i in range(8):
        client.build(lb.address, quick, args={"ID": f"outlier-{i}"})
        if told(lb, gate.name)["ejected"]:
            break
    about = told(lb, gate.name)
    assert about["ejected"] and 0 < about["ejected_seconds_left"] <= EJECTION, about
    assert "the connection was lost" in about["ejected_for"], about
    assert lb.metric("buildkit_lb_worker_ejected", worker=gate.name) == 1
    assert lb.metric("buildkit_lb_worker_ejections_total", worker=gate.name, reason="reset") == 1
    assert "ejected" in next(line for line in lb.command("status").stdout.splitlines() if f" {gate.name} " in line)

    # It would do well again, and gets nothing all the same.
    gate.broken = False
    while told(lb, gate.name)["ejected_seconds_left"] > 1:
        build = client.build(lb.address, quick, args={"ID": "meanwhile"}).check()
        if told(lb, gate.name)["ejected"]:
            assert where(build, shared_workers) == [other]
        time.sleep(0.1)
        if not told(lb, gate.name)["ejected"]:
            break

    lb.wait_metric("buildkit_lb_worker_ejected", 0, worker=gate.name)
    builds = [client.build(lb.address, quick, args={"ID": f"after-{i}"}).check() for i in range(2)]
    assert {where(b, shared_workers)[0].name for b in builds} == {gate.name, other.name}
    lines = [line for line in lb.log.read_text().splitlines() if "ejected" in line]
    assert len(lines) == 2 and "worker is ejected" in lines[0] and "not ejected any more" in lines[1], lines


def test_a_worker_that_refuses_is_ejected_where_no_health_check_sees_it(stack, shared_workers, quick):
    gone, = stack.workers("current", names=["gone"], start=False)
    other = shared_workers[2]
    lb = stack.balancer([buildkit_pool([gone, other], policy="round-robin", health_check={"type": "off"},
                                       outlier_detection=outliers(2))], protocol="buildkit", start=False)
    lb.launch()
    wait_until(lambda: lb.get("/healthz")[0] == 200, "the balancer to answer")
    client = stack.client("buildctl")

    for i in range(4):
        client.build(lb.address, quick, args={"ID": f"refused-{i}"}).check()
        if told(lb, gone.name)["ejected"]:
            break
    assert "Connection refused" in told(lb, gone.name)["ejected_for"]
    assert lb.metric("buildkit_lb_worker_ejections_total", worker=gone.name, reason="connect") == 1

    # No build finds out again that it is not there: each has one pick.
    picks = lb.metric("buildkit_lb_picks_total", reason="next")
    for i in range(2):
        build = client.build(lb.address, quick, args={"ID": f"not-refused-{i}"}).check()
        assert where(build, [other]) == [other]
    if told(lb, gone.name)["ejected"]:
        assert lb.metric("buildkit_lb_picks_total", reason="next") == picks + 2


@pytest.mark.parametrize("protocol", ["buildkit", "tcp"])
def test_failed_builds_and_a_restart_do_not_eject_a_worker(stack, quick, tmp_path, protocol):
    worker, = stack.workers("current")
    make = buildkit_pool if protocol == "buildkit" else pool
    lb = stack.balancer([make([worker], outlier_detection=outliers(1))], protocol=protocol)
    broken = contexts.dockerfile(tmp_path / "broken", "RUN exit 1\n")
    client = stack.client("buildctl")
    for _ in range(3):
        assert not client.build(lb.address, broken).ok
    assert not told(lb, worker.name)["ejected"]

    worker.kill()
    lb.wait_worker_up(worker, False)
    worker.start()
    lb.wait_worker_up(worker)
    assert not told(lb, worker.name)["ejected"]
    client.build(lb.address, quick, args={"ID": f"restarted-{protocol}"}).check()
