"""The HTTP/2 of a `protocol: buildkit` listener against h2spec, all cases, strict."""

import re
import subprocess
from types import SimpleNamespace

import pytest

from harness import tools
from harness.authority import Authority
from harness.balancer import Balancer, pool
from harness.process import Daemon, accepts_connections, free_port


@pytest.mark.parametrize("tls", [False, True], ids=["plaintext", "tls"])
def test_h2spec(tmp_path, tls):
    # h2spec expects an answer with a body to GET /, which no buildkitd gives: nghttpd stands in for the worker.
    (tmp_path / "files").mkdir()
    (tmp_path / "files/index.html").write_text("a page\n")
    port = free_port()
    server = Daemon("nghttpd", ["nghttpd", "--no-tls", "-d", tmp_path / "files", port], tmp_path / "nghttpd.log")
    listener = {}
    if tls:
        shown = Authority(tmp_path / "authority").issue("localhost", "DNS:localhost,IP:127.0.0.1")
        listener = {"tls": {"cert": str(shown.cert), "key": str(shown.key)}}
    balancer = Balancer(tmp_path / "lb", [pool([SimpleNamespace(name="w1", address=f"tcp://127.0.0.1:{port}")])],
                        protocol="buildkit", listener=listener)
    try:
        server.wait_ready(lambda: accepts_connections(port), "to listen")
        balancer.start()
        done = subprocess.run([tools.bin_directory("protocols") / "h2spec", "-h", "127.0.0.1", "-p", str(balancer.port),
                               "--strict", "--timeout", "10", *(["-t", "-k"] if tls else [])],
                              capture_output=True, text=True, timeout=240, check=False)
        closing = re.search(r"(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed", done.stdout)
        assert closing, done.stdout + done.stderr
        print(closing[0])
        assert int(closing[4]) == 0, done.stdout[done.stdout.index("Failures:"):]
        assert int(closing[2]) >= 140
        assert balancer.running()
    finally:
        balancer.remove()
        server.stop()
