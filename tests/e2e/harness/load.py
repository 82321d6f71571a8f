"""Many clients at once."""

import socket
import threading
import time
from contextlib import ExitStack, contextmanager

from . import raw_http2
from .process import wait_until

PREFACE = raw_http2.PREFACE + raw_http2.frame(raw_http2.SETTINGS)


class Load:
    """`width` threads that build one after the other until stop(). `build(i)` makes the i-th build."""

    def __init__(self, build, width):
        self._build = build
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._next = 0
        self.ended = []  # (time it began, Build, time it ended); time.monotonic()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(width)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def _run(self):
        while not self._stopping.is_set():
            with self._lock:
                number = self._next
                self._next += 1
            began = time.monotonic()
            build = self._build(number)
            with self._lock:
                self.ended.append((began, build, time.monotonic()))

    def wait_builds(self, count, timeout=120):
        wait_until(lambda: len(self.ended) >= count, f"{count} builds to end", timeout)

    def stop(self):
        """Returns when all builds have ended."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(120)
            assert not thread.is_alive(), "a build of the load never ended"


@contextmanager
def http2_connections(port, count):
    """`count` connections at once, all started before the first is waited for; a worker has answered on each of them."""
    with ExitStack() as opened:
        sockets = []
        for _ in range(count):
            one = opened.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
            sockets.append(one)
        for one in sockets:
            one.settimeout(20)
            _wait_connected(one)
            one.sendall(PREFACE)
        for one in sockets:
            header = _receive(one, 9)
            assert header[3] == raw_http2.SETTINGS, f"a worker's first frame is its SETTINGS, this is of type {header[3]}"
        yield sockets


def _wait_connected(one):
    def connected():
        error = one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        assert error == 0, f"connect failed: {error}"
        try:
            one.getpeername()
            return True
        except OSError:
            return False

    wait_until(connected, "a connection to be accepted", 20)


def _receive(one, length):
    data = b""
    while len(data) < length:
        more = one.recv(length - len(data))
        assert more, "the connection was closed before a worker answered"
        data += more
    return data
