"""`user`: started as root, the process is somebody else once its ports are bound."""

import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from harness.authority import Authority, Identity
from harness.balancer import buildkit_pool
from harness.process import wait_until
from harness.stack import Stack

NOBODY = pwd.getpwnam("nobody")


@pytest.fixture
def open_stack():
    """In a directory that everybody may enter, as /etc is."""
    directory = Path(tempfile.mkdtemp(prefix="buildkit-lb-"))
    directory.chmod(0o755)
    with Stack(directory) as made:
        yield made
    shutil.rmtree(directory)


def threads_of(pid):
    """What /proc says of each thread: key -> values."""
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        yield {key: value.split() for key, value in (line.split(":", 1) for line in status.read_text().splitlines())}


def test_the_process_becomes_the_user_for_good_and_builds_and_reloads_work(open_stack, shared_workers, quick):
    server = Authority(open_stack.directory / "authority").issue("builds.example", "IP:127.0.0.1")
    for file in (server.cert, server.key):
        file.chmod(0o644)
    state = open_stack.directory / "lb" / "state" / "state.json"
    lb = open_stack.balancer([buildkit_pool(shared_workers[:1], policy="cache-affinity")], protocol="buildkit",
                             user="nobody:nogroup", state={"file": str(state), "interval": "100ms"},
                             listener={"tls": {"cert": str(server.cert), "key": str(server.key)}})
    threads = list(threads_of(lb.pid))
    assert len(threads) > 2
    for thread in threads:
        assert thread["Uid"] == [str(NOBODY.pw_uid)] * 4 and thread["Gid"] == [str(NOBODY.pw_gid)] * 4, thread["Name"]
        assert str(NOBODY.pw_gid) in thread["Groups"] and "0" not in thread["Groups"]
        for capabilities in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(thread[capabilities][0], 16) == 0, capabilities
        assert thread["NoNewPrivs"] == ["1"]

    client = open_stack.client("buildctl")
    client.identity = Identity(None, None, server.ca)
    client.build(lb.address, quick, args={"ID": "as-nobody", "BUILDKIT_LB_KEY": "a"}).check()
    wait_until(state.exists, "the state to be written", 10)
    assert lb.metric("buildkit_lb_state_writes_total", result="error") == 0
    assert state.stat().st_uid == NOBODY.pw_uid

    lb.config["listeners"][0]["max_connections"] = 123
    assert lb.reload()["reloaded"]
    # What the user may not read is refused, and the old ones stay.
    server.key.chmod(0o600)
    answer = lb.reload()
    assert not answer["reloaded"] and "Permission denied" in str(answer["errors"])
    client.build(lb.address, quick, args={"ID": "still-as-nobody"}).check()


@pytest.mark.parametrize("user,says", [
    ("no-such-user", "there is no user 'no-such-user' on this machine"),
    ("nobody:no-such-group", "there is no group 'no-such-group' on this machine"),
    ("root", "'root' is root: nothing would be given up"),
    ("54321", "'54321' is a number, which has no group of its own: write USER:GROUP"),
])
def test_who_can_t_be_become_is_an_error_at_the_start(stack, shared_workers, user, says):
    lb = stack.balancer([buildkit_pool(shared_workers[:1])], start=False, protocol="buildkit", user=user)
    code, output = run(lb)
    assert code == 1 and f"user: {says}" in output, output


def test_only_root_can_become_somebody_else(open_stack, shared_workers):
    lb = open_stack.balancer([buildkit_pool(shared_workers[:1])], start=False, protocol="buildkit", user="daemon")
    program = shutil.copy(lb.program, open_stack.directory / "buildkit-lb")
    code, output = run(lb, "setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", program=program)
    assert code == 1 and "user: only root can become 'daemon': start as root, or leave the key out" in output, output


def run(lb, *before, program=None):
    lb.write_config()
    done = subprocess.run([*before, str(program or lb.program), "--config", str(lb.config_file)], capture_output=True,
                          text=True, timeout=30, check=False)
    return done.returncode, done.stdout + done.stderr
