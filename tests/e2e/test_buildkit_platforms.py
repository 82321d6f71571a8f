"""Which workers a build may go to: platforms, labels, pools by name."""

import re

import pytest

from harness import contexts
from harness.balancer import buildkit_pool
from harness.clients import VERSIONS
from harness.stack import where


@pytest.fixture(scope="module")
def mixed(shared_stack):
    """Two workers of the machine's own platform, and one that says it is another. Not to be harmed."""
    native = shared_stack.workers("current", "current", names=["n1", "n2"])
    return [*native, *shared_stack.workers("current", names=["arm"], platforms=["linux/arm64"])]


@pytest.fixture
def empty(tmp_path):
    """A build without a step that runs: a worker need not really be what it says."""
    return contexts.dockerfile(tmp_path / "empty-context", "FROM scratch\nARG ID\nCOPY some /\n", {"some": "text"})


def own_platform(worker):
    return re.search(r"linux/\w+", worker.buildctl("debug", "workers").stdout).group()


def build(client, address, context, number, *extra, platform="", args=None):
    if platform:
        extra = (*extra, *(["--opt", f"platform={platform}"] if client.program == "buildctl" else
                           ["--platform", platform]))
    return client.build(address, context, args={"ID": f"{client.name}-{number}", **(args or {})}, extra=extra)


@pytest.mark.parametrize("program,version", VERSIONS)
def test_builds_go_to_workers_of_their_platform(stack, mixed, empty, program, version):
    lb = stack.balancer([buildkit_pool(mixed, policy="round-robin")], protocol="buildkit")
    client = stack.client(program, version)
    own = own_platform(mixed[0])
    for number in range(2):
        assert where(build(client, lb.address, empty, number, platform="linux/arm64").check(), mixed) == [mixed[2]]
        assert where(build(client, lb.address, empty, number, platform=own).check(), mixed)[0] in mixed[:2]
        assert where(build(client, lb.address, empty, number).check(), mixed)[0] in mixed[:2]
    refused = build(client, lb.address, empty, 3, platform="linux/s390x")
    assert not refused.ok
    assert "no worker of pool default has linux/s390x" in refused.output
    assert "arm has linux/arm64" in refused.output
    # That worker adds what its processor runs to its list.
    assert where(build(client, lb.address, empty, 4, platform=f"{own},linux/arm64").check(), mixed) == [mixed[2]]
    several = build(client, lb.address, empty, 5, platform=f"{own},linux/s390x")
    assert not several.ok and f"has {own} and linux/s390x" in several.output


def test_labels_choose_workers(stack, mixed, empty):
    pool = buildkit_pool(mixed, policy="round-robin")
    pool["workers"][1]["labels"] = {"disk": "ssd"}
    lb = stack.balancer([pool], protocol="buildkit")
    client = stack.client()
    for number in range(3):
        done = build(client, lb.address, empty, number, args={"BUILDKIT_LB_REQUIRE": "disk=ssd"}).check()
        assert where(done, mixed) == [mixed[1]]
    refused = build(client, lb.address, empty, 3, args={"BUILDKIT_LB_REQUIRE": "disk=tape"})
    assert not refused.ok and "has disk=tape" in refused.output and "n2 has disk=ssd" in refused.output
    malformed = build(client, lb.address, empty, 4, args={"BUILDKIT_LB_REQUIRE": "ssd"})
    assert not malformed.ok and "'ssd' is not of the form LABEL=VALUE" in malformed.output


def test_a_listener_for_one_platform(stack, mixed, empty):
    lb = stack.balancer([buildkit_pool(mixed, policy="round-robin")], protocol="buildkit",
                        listener={"require": {"platform": "linux/arm64"}})
    client = stack.client("buildx")
    for number in range(2):
        assert where(build(client, lb.address, empty, number).check(), mixed) == [mixed[2]]
    def listed(address):
        return stack.client().run("--addr", address, "debug", "workers").stdout
    assert listed(lb.address) == listed(mixed[2].address)


def test_a_port_serves_several_pools_by_the_name_that_is_dialled(stack, mixed, empty):
    lb = stack.balancer([buildkit_pool(mixed[:1], "default"), buildkit_pool(mixed[1:2], "team-a")],
                        protocol="buildkit", start=False)
    port = lb.port_of("default")
    lb.config["listeners"] = [{**lb.config["listeners"][0], "address": f"tcp://0.0.0.0:{port}",
                               "hosts": [{"host": "127.0.0.2", "pool": "team-a"}]}]
    lb.start()
    for program, version in VERSIONS:
        if (program, version) == ("buildx", "v0.13"):
            continue  # it always says localhost
        client = stack.client(program, version)
        assert where(build(client, f"tcp://127.0.0.1:{port}", empty, 0).check(), mixed) == [mixed[0]]
        assert where(build(client, f"tcp://127.0.0.2:{port}", empty, 1).check(), mixed) == [mixed[1]]
