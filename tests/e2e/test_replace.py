"""The process replaced by another one while builds run."""

import os
import signal
import socket

import pytest

from harness.balancer import buildkit_pool
from harness.clients import VERSIONS
from harness.load import Load
from harness.process import wait_until

BUILDS = 50


class NotifySocket:
    """What a service manager listens on (sd_notify)."""

    def __init__(self, path):
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)
        self.seen = []

    def messages(self):
        while True:
            try:
                self.seen.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return self.seen

    def wait(self, beginning):
        wait_until(lambda: any(m.startswith(beginning) for m in self.messages()), f"{beginning!r} to be told")


@pytest.mark.parametrize("how", ["tcp", "unix", "passed"])
def test_three_replacements_during_50_builds_lose_none(stack, shared_workers, quick, patient, how):
    listener = {"address": f"unix://{stack.directory}/lb.sock"} if how == "unix" else None
    lb = stack.balancer([buildkit_pool(shared_workers)], protocol="buildkit", listener=listener, start=False)
    if how == "passed":
        lb.passed = [socket.create_server(("127.0.0.1", lb.port), backlog=1024)]
    lb.start()
    clients = [stack.client(program, version) for program, version in VERSIONS]
    for client in clients:
        if client.program == "buildx":
            client.builder(lb.address)
    address = lb.address
    # Builds that outlive the process that they began on.
    long = [client.start_build(address, patient, name=f"long{n}", args={"ID": f"{how}{n}", "SECONDS": "20"})
            for n, client in enumerate(clients)]
    for n, build in enumerate(long):
        build.wait_step(f"{how}{n}")

    def build(number):
        return clients[number % 4].build(address, quick, name=f"b{number}", args={"ID": f"{how}-{number}"})

    stopped = []
    with Load(build, 6) as load:
        for number in range(3):
            load.wait_builds((number + 1) * BUILDS // 5)
            new = stack.balancer([buildkit_pool(shared_workers)], protocol="buildkit", start=False).replace(lb)
            lb.terminate()
            stopped.append(lb)
            lb = new
        load.wait_builds(BUILDS)
    ended = [build for _, build, _ in load.ended]
    lost = [build for build in ended if not build.ok]
    assert not lost, f"{len(lost)} of {len(ended)} builds were lost, the first:\n{lost[0].output}"
    for build in long:
        build.wait().check()
    assert [old.wait() for old in stopped] == [0, 0, 0]
    # The admin address was shared, and the newest answers there.
    assert lb.get("/healthz")[0] == 200 and lb.running()
    assert lb.metric("buildkit_lb_builds_total", result="ok") >= 10
    if how != "passed":
        assert lb.log.read_text().count("another socket of this user listens here too") == 2
    lb.terminate()
    assert lb.wait() == 0


def test_a_new_process_that_gives_up_leaves_the_port_to_the_old_one(stack, shared_workers, quick):
    lb = stack.balancer([buildkit_pool(shared_workers)], protocol="buildkit")
    client = stack.client()
    with Load(lambda n: client.build(lb.address, quick, name=f"b{n}", args={"ID": f"up-{n}"}), 3) as load:
        load.wait_builds(3)
        new = stack.balancer([buildkit_pool(shared_workers)], protocol="buildkit", start=False).replace(lb)
        wait_until(lambda: new.metric("buildkit_lb_builds_total", result="ok"), "builds on the new process")
        new.terminate()
        assert new.wait() == 0
        load.wait_builds(len(load.ended) + 6)
    for _, build, _ in load.ended:
        build.check()
    assert lb.running()


def test_a_service_manager_is_told_what_happens(stack, shared_workers):
    manager = NotifySocket(stack.directory / "notify")
    lb = stack.balancer([buildkit_pool(shared_workers)], protocol="buildkit", start=False)
    lb.env = {"NOTIFY_SOCKET": str(manager.path)}
    lb.start()
    manager.wait("READY=1")
    manager.wait("STATUS=serving: 3 of 3 workers up, 0 builds run, 0 wait")
    manager.seen.clear()
    os.kill(lb.pid, signal.SIGHUP)
    manager.wait("RELOADING=1\nMONOTONIC_USEC=")
    manager.wait("READY=1")
    lb.terminate()
    assert lb.wait() == 0
    manager.wait("STOPPING=1\nEXTEND_TIMEOUT_USEC=3630000000")
