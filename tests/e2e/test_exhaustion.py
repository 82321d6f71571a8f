"""What is used up: descriptors, memory, the patience of whoever waits for a client. Builds that run go on."""

import resource
import socket
import threading
import time
import uuid

import pytest

from harness import contexts
from harness.balancer import buildkit_pool
from harness.crowd import Crowd
from harness.load import PREFACE
from harness.process import free_port, wait_until

MIB = 2**20


@pytest.fixture
def once():
    return uuid.uuid4().hex


@pytest.fixture
def lb(stack, shared_workers, request):
    """With the limits that a test's marker `limits` names."""
    named = request.node.get_closest_marker("limits")
    return stack.balancer([buildkit_pool(shared_workers[:1])], protocol="buildkit",
                          listener={"max_connections": 15000}, limits=named.kwargs if named else {})


def resident(lb):
    return lb.metric("process_resident_memory_bytes")


def said(lb, words):
    return words in lb.log.read_text()


def running(stack, lb, patient, once, seconds):
    build = stack.client("buildctl").start_build(lb.address, patient, name="running",
                                                 args={"ID": once, "SECONDS": str(seconds)})
    build.wait_step(once)
    return build


def test_out_of_descriptors_new_clients_wait_and_builds_go_on(stack, lb, quick, patient, once):
    build = running(stack, lb, patient, once, 6)
    before = resource.prlimit(lb.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(lb.pid, resource.RLIMIT_NOFILE, (int(lb.metric("process_open_fds")) + 20, before[1]))
    with Crowd(lb.port, 60, PREFACE, processes=1) as crowd:
        wait_until(lambda: said(lb, "accepting is paused listener=to-default reason=out_of_descriptors"),
                   "descriptors to run out")
        late = stack.client("buildctl").start_build(lb.address, quick, name="late", args={"ID": once + "-late"})
        build.wait().check()
        assert late.running()
        # They go, and those who waited get their turn.
        crowd.leave()
        late.wait().check()
    resource.prlimit(lb.pid, resource.RLIMIT_NOFILE, before)
    assert lb.metric("buildkit_lb_accept_pauses_total", reason="out_of_descriptors") >= 1
    assert lb.metric("buildkit_lb_builds_total", result="ok") == 2
    lb.wait_metric("buildkit_lb_connections", 0)


@pytest.mark.limits(memory="off")
def test_at_the_ceiling_of_memory_new_clients_wait_and_builds_go_on(stack, lb, quick, patient, once, capsys):
    build = running(stack, lb, patient, once, 20)
    base = resident(lb)
    lb.config["limits"]["memory"] = f"{int(base / MIB) + 24}MiB"
    assert lb.reload()["reloaded"]
    assert lb.metric("buildkit_lb_memory_limit_bytes") == (int(base / MIB) + 24) * MIB
    crowds = []
    try:
        while not said(lb, "limits.memory is reached"):
            assert len(crowds) < 24, "12,000 idle connections take no memory?"
            # The last of them may wait: to the kernel they are connected all the same.
            crowds.append(Crowd(lb.port, 500, PREFACE, processes=1).__enter__())
            time.sleep(0.6)  # two looks at the memory
        held = lb.metric("buildkit_lb_connections")
        late = stack.client("buildctl").start_build(lb.address, quick, name="late", args={"ID": once + "-late"})
        build.wait().check()
        assert late.running()
        assert lb.metric("buildkit_lb_accept_pauses_total", reason="memory") == 1
        most = resident(lb)
    finally:
        for crowd in crowds:
            crowd.leave()
    late.wait().check()
    assert said(lb, "new connections are accepted again: there is memory")
    with capsys.disabled():
        print(f"\nmemory: {base / MIB:.0f} MiB with one build, ceiling {int(base / MIB) + 24} MiB reached with {held:.0f} "
              f"idle connections, {most / MIB:.0f} MiB at most")


class SlowReader:
    """A relay to 127.0.0.1:`port` that passes on all that its clients send, and `rate` bytes a second of what they get
    once `slow` is set."""

    def __init__(self, port):
        own = free_port()
        self.address = f"tcp://127.0.0.1:{own}"
        self.slow = threading.Event()
        self.fast_again = threading.Event()
        self.passed = 0
        self._server = socket.create_server(("127.0.0.1", own))
        self._port = port
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        client, _ = self._server.accept()
        with client, socket.socket() as there:
            there.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            there.connect(("127.0.0.1", self._port))
            threading.Thread(target=self._up, args=(client, there), daemon=True).start()
            while data := there.recv(1 if self.slow.is_set() else 65536):
                client.sendall(data)
                self.passed += len(data)
                if self.slow.is_set():
                    self.fast_again.wait(1)
        self._server.close()

    @staticmethod
    def _up(client, there):
        try:
            while data := client.recv(65536):
                there.sendall(data)
        except OSError:
            pass


@pytest.fixture
def large(tmp_path):
    """A build whose result has 256 MiB, no two blocks alike."""
    return contexts.dockerfile(tmp_path / "large", """\
FROM base AS work
ARG ID
RUN mkdir /out && echo "$ID" > /out/id && head -c 268435456 /dev/urandom > /out/large
FROM scratch
COPY --from=work /out /
""")


@pytest.mark.parametrize("how", ["one byte a second", "never"])
def test_a_client_that_does_not_read_costs_little_memory_and_nobody_else(stack, lb, quick, large, once, how, capsys):
    # Files of the base image only, so that what is sent is the result.
    reader = SlowReader(lb.port)
    client = stack.client("buildctl")
    build = client.start_build(reader.address, large, name="large", args={"ID": once})
    # In the middle of the export.
    wait_until(lambda: reader.passed > 16 * MIB, "the export to begin", 120)
    base = resident(lb)
    if how == "never":
        build.pause()
    else:
        reader.slow.set()
    most = base
    for i in range(6):
        stack.client("buildctl").build(lb.address, quick, name="other", args={"ID": f"{once}-{i}"}).check()
        most = max(most, resident(lb))
    assert build.running()
    stopped_at = reader.passed
    # The window of a stream, what its tunnel and the kernel keep: not the rest of the result.
    assert most - base < 64 * MIB, f"{(most - base) / MIB:.0f} MiB for a client that does not read"
    assert stopped_at < 200 * MIB
    reader.slow.clear()
    reader.fast_again.set()
    build.resume()
    ended = build.wait().check()
    assert (ended.out / "large").stat().st_size == 256 * MIB
    with capsys.disabled():
        print(f"\na client that reads {how}: {(most - base) / MIB:.1f} MiB more than before, while 6 others built")


@pytest.mark.limits(handshake_timeout="15s")
@pytest.mark.parametrize("sent", [b"", b"PRI * HTTP/2.0\r\n"], ids=["nothing sent", "half a preface"])
def test_10000_half_open_connections_are_closed_and_hurt_nobody(stack, lb, quick, once, sent, capsys):
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 12000:
        pytest.skip("10,000 connections need as many descriptors: ulimit -Hn")
    base = resident(lb)
    began = time.monotonic()
    with Crowd(lb.port, 10000, sent) as crowd:
        opened = time.monotonic() - began
        build = stack.client("buildctl").build(lb.address, quick, args={"ID": once}).check()
        most = resident(lb)
        assert crowd.count_closed(60) == 10000
        closed = time.monotonic() - began
    lb.wait_metric("buildkit_lb_protocol_errors_total", 10000, kind="handshake_timeout")
    lb.wait_metric("buildkit_lb_connections", 0)
    assert most - base < 512 * MIB
    with capsys.disabled():
        print(f"\n10,000 half-open connections: open after {opened:.1f} s, all closed after {closed:.1f} s, "
              f"{(most - base) / 10000 / 1024:.1f} KiB each; a build meanwhile took {build.seconds:.1f} s")
