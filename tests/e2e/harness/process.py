"""Daemons: started with a log file, waited for by a condition, ended by pid."""

import os
import random
import signal
import socket
import subprocess
import time
from pathlib import Path


class Timeout(AssertionError):
    """A condition did not come true in time."""


def wait_until(condition, what, timeout=60.0, interval=0.02):
    """Returns the first true value of `condition()`; raises Timeout, naming `what`, after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Timeout(f"waited {timeout:g} s for {what}")
        time.sleep(interval)


_ports_given = set()


# Test processes that run side by side keep out of each other's ports.
_share = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 8
_ports = (15000 + 2000 * _share, 17000 + 2000 * _share)


def free_port():
    """A loopback port that nothing listens on. Below the range the kernel takes ports of outgoing connections from,
    so that a port can't be lost between its choice and its use, nor while a killed daemon is down."""
    while True:
        port = random.randrange(*_ports)
        if port in _ports_given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _ports_given.add(port)
        return port


def accepts_connections(port, host="127.0.0.1"):
    try:
        socket.create_connection((host, port), timeout=1).close()
        return True
    except OSError:
        return False


class Daemon:
    """One long-running program. It dies with this process, however that ends, unless `outlive` is set."""

    def __init__(self, name, argv, log: Path, env=None, outlive=False, pass_fds=()):
        self.name = name
        self.log = log
        if not outlive:
            argv = ["setpriv", "--pdeathsig", "KILL", *argv]
        with open(log, "ab") as out:
            # A session of its own: Ctrl-C reaches us only, and we take things down in order.
            self.popen = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                          env=env, start_new_session=True, pass_fds=pass_fds)
        self.pid = self.popen.pid

    def running(self):
        return self.popen.poll() is None

    def wait_ready(self, condition, what, timeout=60.0):
        def ready():
            if not self.running():
                raise AssertionError(f"{self.name} ended with code {self.popen.returncode}:\n{self.tail()}")
            return condition()

        try:
            return wait_until(ready, f"{self.name}: {what}", timeout)
        except Timeout as error:
            raise Timeout(f"{error}\n{self.tail()}") from None

    def signal(self, number):
        if self.running():
            os.kill(self.pid, number)

    def stop(self, timeout=20.0):
        """SIGTERM, then SIGKILL when that does not help. Returns the exit code."""
        self.signal(signal.SIGTERM)
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self):
        self.signal(signal.SIGKILL)
        return self.popen.wait(60)

    def tail(self, lines=60):
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
