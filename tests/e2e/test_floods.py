"""Floods of frames from hostile clients and workers, on connections and inside sessions. The builds of others go on."""

import re
import socket
import threading
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from harness.attacks import ATTACKS, CALM, PATH, flood, resident, run
from harness.balancer import buildkit_pool
from harness.load import Load
from harness.raw_http2 import (DATA, END_HEADERS, HEADERS, PING, RST_STREAM, RawConnection, RawTunnel, field, frame,
                               number, request)
from harness.stack import Stack

# What a flood may cost, while it goes on: buffers of one connection, and what builds of others need meanwhile.
MOST_MEMORY = 48 << 20

ERRORS = "buildkit_lb_protocol_errors_total"
WORKER_ERRORS = "buildkit_lb_worker_protocol_errors_total"


class CountingWorker:
    """Stands in for a worker: takes every connection and call, answers none, and counts streams. `act` is called in a
    thread of its own with each connection (a RawConnection, whose SETTINGS have been sent)."""

    name = "fake"

    def __init__(self, act=None):
        self._act = act or self._count
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self._listening.getsockname()[1]}"
        self.connections = []
        self.errors = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                taken, _ = self._listening.accept()
            except OSError:
                return
            made = RawConnection(0, sock=taken, server=True)
            self.connections.append(made)
            threading.Thread(target=self._run, args=(made,), daemon=True).start()

    def _run(self, connection):
        try:
            self._act(connection)
        except Exception as error:  # for the test, which is another thread
            self.errors.append(error)

    @staticmethod
    def _count(connection):
        while not connection.closed:
            connection.wait(0.5)

    @property
    def streams(self):
        return sum(c.reader.counts.get(HEADERS, 0) for c in self.connections)

    def close(self):
        self._listening.close()
        for each in self.connections:
            each.close()


@pytest.fixture(scope="module")
def rig(machine, tmp_path_factory):
    """A balancer with a pool of a real worker, and a pool of one that only counts."""
    with Stack(tmp_path_factory.mktemp("floods")) as stack:
        workers = stack.workers("current")
        counting = CountingWorker()
        lb = stack.balancer([buildkit_pool(workers), buildkit_pool([counting], "counting",
                                                                   health_check={"type": "off"})],
                            protocol="buildkit")
        yield SimpleNamespace(stack=stack, lb=lb, counting=counting, worker=workers[0])
        counting.close()


@contextmanager
def others(rig, context, tag):
    """Another client's builds, one after the other; all must go well."""
    client = rig.stack.client("buildctl")
    with Load(lambda n: client.build(rig.lb.address, context, args={"ID": f"{tag}{n}"}), 1) as load:
        load.wait_builds(1)
        yield
    for _, build, _ in load.ended:
        build.check()


@pytest.mark.parametrize("attack", [a for a in ATTACKS if a.outside], ids=lambda a: a.name)
def test_a_client_that_floods_is_closed_and_nobody_else_is(rig, quick, attack):
    counted = rig.lb.metric(ERRORS, kind=attack.kind) or 0
    with others(rig, quick, attack.name.split()[0]):
        outcome = run(rig.lb.port, rig.lb.pid, attack)
    print(f"{attack.name}: {outcome.frames} frames, {outcome.seconds:.1f} s, {outcome.grown >> 20} MiB")
    assert outcome.closed
    if attack.reads:
        assert outcome.code == attack.code
    rig.lb.wait_metric(ERRORS, counted + 1, kind=attack.kind)
    assert outcome.grown < MOST_MEMORY


@pytest.mark.parametrize("attack", [a for a in ATTACKS if a.inside and a.reads], ids=lambda a: a.name)
def test_a_session_with_a_flood_inside_ends_and_nothing_else_does(rig, quick, attack):
    kind = f"session_{attack.kind}"
    counted = rig.lb.metric(ERRORS, kind=kind) or 0
    before = resident(rig.lb.pid)
    with others(rig, quick, attack.name.split()[0]), RawConnection(rig.lb.port) as connection:
        tunnel = RawTunnel(connection)
        assert connection.wait_for(lambda: tunnel.reader.counts)
        flood(tunnel, attack)
        assert tunnel.wait_closed()
        assert tunnel.goaway and tunnel.goaway[0] == CALM
        assert not connection.closed and connection.goaway is None
        # The connection is of use still: for another session.
        again = RawTunnel(connection, stream=3, uuid="another")
        assert connection.wait_for(lambda: again.reader.counts)
    assert rig.lb.metric(ERRORS, kind=kind) == counted + 1
    assert resident(rig.lb.pid) - before < MOST_MEMORY


@pytest.mark.parametrize("attack", [a for a in ATTACKS if a.kind == "reset_flood"], ids=lambda a: a.name)
def test_streams_that_are_reset_reach_a_worker_up_to_the_limit_only(rig, attack):
    seen = rig.counting.streams
    outcome = run(rig.lb.port_of("counting"), rig.lb.pid, attack)
    assert outcome.closed and outcome.code == CALM
    limit = 100 * (20 + outcome.seconds)
    assert rig.counting.streams - seen <= limit + 50
    assert outcome.grown < MOST_MEMORY


def test_calls_that_a_client_makes_without_reading_are_bounded_in_memory(rig, quick):
    """Large requests that nobody answers, and a client that reads nothing."""
    before = resident(rig.lb.pid)
    with others(rig, quick, "mute"), RawConnection(rig.lb.port_of("counting"), reads=False) as attacker:
        large = field("x-large", "v" * 3900, indexed=True)
        attacker.send(frame(HEADERS, 4, 1, request(1, PATH)[9:] + large))
        for stream in range(3, 4003, 2):
            # 1.9 MB each, of 600 bytes.
            if not attacker.send(frame(HEADERS, 4, stream, request(stream, PATH)[9:] + b"\xbe" * 480), timeout=2):
                break
        grown = resident(rig.lb.pid) - before
    # The budget of a connection (64 MiB) holds for its requests here and on their way to the worker.
    assert grown < 3 * 64 << 20


def session_stream(connection):
    """Waits for Control/Session on a connection of a worker: the stream in which HTTP/2 is spoken."""
    found = []

    def look(kind, _, stream, payload):
        # A gRPC message that holds a BytesMessage that begins with a SETTINGS frame on stream 0.
        if kind == DATA and re.match(rb"\0....\x0a..?\0\0.\x04\0\0\0\0\0", payload, re.DOTALL):
            found.append(stream)

    connection.on_frame = look
    assert connection.wait_for(lambda: found, 60), "no session was offered"
    return found[0]


def flood_inside(connection):
    stream = session_stream(connection)
    answer = frame(HEADERS, END_HEADERS, stream, b"\x88" + field("content-type", "application/grpc"))
    tunnel = RawTunnel(connection, stream, worker=True, answer=answer)
    while tunnel.send(frame(PING, payload=b"12345678") * 100):
        pass
    connection.wait_closed()


def flood_outside(connection):
    while connection.reader.counts.get(HEADERS, 0) == 0 and not connection.closed:
        connection.wait(0.2)
    while connection.send(frame(PING, payload=b"12345678") * 100):
        pass
    connection.wait_closed()


def flood_with_resets(connection):
    while connection.reader.counts.get(HEADERS, 0) == 0 and not connection.closed:
        connection.wait(0.2)
    while connection.send(frame(RST_STREAM, 0, 1, number(8)) * 100):
        pass
    connection.wait_closed()


@pytest.mark.parametrize("act, kind", [(flood_outside, "ping_flood"), (flood_with_resets, "reset_flood"),
                                       (flood_inside, "session_ping_flood")],
                         ids=["PING", "resets", "PING inside a session"])
def test_a_worker_that_floods_is_lost_and_its_build_goes_on_elsewhere(stack, quick, act, kind):
    workers = stack.workers("current")
    hostile = CountingWorker(act)
    # Round robin begins with the hostile one.
    # It answers nothing, and a call to the whole pool would wait for it.
    lb = stack.balancer([buildkit_pool([hostile, *workers], policy="round-robin", health_check={"type": "off"})],
                        protocol="buildkit", limits={"pool_call_timeout": "500ms"})
    before = resident(lb.pid)
    for program in ("buildctl", "buildx"):
        build = stack.client(program).build(lb.address, quick, args={"ID": program}).check()
        assert build.ok
    lb.wait_metric(WORKER_ERRORS, lb.metric(WORKER_ERRORS), kind=kind, worker="fake")
    assert lb.metric(WORKER_ERRORS, kind=kind, worker="fake") >= 1
    assert any(c.goaway and c.goaway[0] == CALM for c in hostile.connections)
    assert resident(lb.pid) - before < MOST_MEMORY
    hostile.close()
    assert not [e for e in hostile.errors if "session" not in str(e)]
