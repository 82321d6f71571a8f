"""Fixtures of the end-to-end tests. They need root, and Go modules or a cache that scripts/tools has filled:
where those are missing every test is skipped, but in CI (CI=true) it fails."""

import os
import signal
from pathlib import Path

import pytest

from harness import contexts, network, tools
from harness.balancer import buildkit_pool, pool
from harness.stack import Stack

_open_stacks = []


def _mounts_below(directory):
    return [line for line in Path("/proc/mounts").read_text().splitlines() if line.split()[1].startswith(directory)]


def _control_groups():
    """Those of this run only: another may be going on."""
    ours = f"buildkit-lb-{os.getpid()}-*"
    return {*Path("/sys/fs/cgroup").glob(f"*/{ours}"), *Path("/sys/fs/cgroup").glob(ours)}


def _children():
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


def pytest_configure():
    # SIGTERM (a timeout of whoever runs us) takes everything down as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("terminated", returncode=143))


def _give_up(missing):
    if os.environ.get("CI") == "true":
        pytest.fail(f"in CI the end-to-end tests must run: {missing}")
    pytest.skip(str(missing))


@pytest.fixture(scope="session", autouse=True)
def machine(tmp_path_factory):
    """What the tests need is there, and they leave nothing behind."""
    try:
        tools.require_kernel()
        for module in ("current", "v0.13-buildkit", "v0.13-buildx"):
            tools.bin_directory(module)
    except tools.Unavailable as missing:
        _give_up(missing)
    yield
    assert not _mounts_below(str(tmp_path_factory.getbasetemp())), "mounts were left behind"
    assert not _control_groups(), "control groups were left behind"
    assert not _children(), "processes were left behind"


@pytest.fixture
def stack(tmp_path):
    """An empty stack for tests that kill what they start."""
    with Stack(tmp_path) as made:
        _open_stacks.append(made)
        yield made
        _open_stacks.remove(made)


@pytest.fixture(scope="module")
def private_network(machine):
    """The tests of the module, and what they start, are in a network of their own, to which hosts can be added. Such
    modules share no worker with others."""
    try:
        network.require()
    except tools.Unavailable as missing:
        _give_up(missing)
    with network.Network() as made:
        yield made


@pytest.fixture(scope="session")
def shared_stack(machine, tmp_path_factory):
    with Stack(tmp_path_factory.mktemp("shared")) as made:
        _open_stacks.append(made)
        yield made
        _open_stacks.remove(made)


@pytest.fixture(scope="session")
def shared_workers(shared_stack):
    """Three workers, the second of the oldest version. Not to be harmed."""
    return shared_stack.workers("current", "v0.13", "current")


@pytest.fixture(scope="session")
def shared_balancer(shared_stack, shared_workers):
    """A TCP listener for all of them, and one for each version. Not to be harmed."""
    return shared_stack.balancer([
        pool(shared_workers, "all"),
        pool([w for w in shared_workers if w.version == "current"], "current"),
        pool([w for w in shared_workers if w.version == "v0.13"], "v0.13"),
    ])


@pytest.fixture(scope="session")
def buildkit_balancer(shared_stack, shared_workers):
    """`protocol: buildkit` for the same workers, in the same three pools. Not to be harmed."""
    return shared_stack.balancer([
        buildkit_pool(shared_workers, "all"),
        buildkit_pool([w for w in shared_workers if w.version == "current"], "current"),
        buildkit_pool([w for w in shared_workers if w.version == "v0.13"], "v0.13"),
    ], protocol="buildkit", log={"level": "debug"})


@pytest.fixture(scope="session")
def shared_nginx(shared_stack, shared_workers):
    return shared_stack.nginx_stream(shared_workers)


@pytest.fixture
def quick(tmp_path):
    return contexts.quick(tmp_path / "quick-context")


@pytest.fixture
def patient(tmp_path):
    return contexts.patient(tmp_path / "patient-context")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for made in _open_stacks:
            for name, text in made.logs():
                report.sections.append((f"last lines of {name}", text))
