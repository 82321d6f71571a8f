"""Large contexts and many builds at once through a `protocol: buildkit` listener."""

import hashlib
import os
import uuid

import pytest

from harness import contexts
from harness.balancer import buildkit_pool
from harness.stack import where


def test_50_builds_at_once_all_pass_and_spread(stack, shared_workers, quick):
    lb = stack.balancer([buildkit_pool(shared_workers)], protocol="buildkit")
    clients = [stack.client(program, version) for program, version in
               (("buildctl", "current"), ("buildx", "current"), ("buildctl", "v0.13"), ("buildx", "v0.13"))]
    for client in clients:
        if client.program == "buildx":
            client.builder(lb.address)
    once = uuid.uuid4().hex
    builds = [clients[i % 4].start_build(lb.address, quick, name=f"b{i}", args={"ID": f"{once}-{i}"})
              for i in range(50)]
    ended = [build.wait(280).check() for build in builds]

    assert [(b.out / "result").read_text() for b in ended] == [f"built {once}-{i}\n" for i in range(50)]
    histories = [set(w.history()) for w in shared_workers]
    counts = [sum(b.ref in history for b in ended) for history in histories]
    assert sum(counts) == 50 and min(counts) >= 10, counts
    lb.wait_metric("buildkit_lb_builds_total", 50, result="ok")
    assert lb.metric("buildkit_lb_worker_active_builds") == 0
    lb.wait_metric("buildkit_lb_connections", 0)


@pytest.mark.parametrize("program,version", [("buildctl", "current"), ("buildx", "v0.13")])
def test_a_context_of_1_gib(stack, buildkit_balancer, shared_workers, tmp_path, capsys, program, version):
    context = contexts.dockerfile(tmp_path / "large", """\
FROM base AS sum
ARG ID
RUN --mount=target=/context sha256sum < /context/large > /sum
FROM scratch
COPY --from=sum /sum /
""")
    expected = write_large(context / "large", 2**30)
    client = stack.client(program, version)
    seconds = {}
    for name, address in (("direct", shared_workers[0].address), ("through", buildkit_balancer.address_of("current"))):
        build = client.build(address, context, name=name, timeout=250, args={"ID": uuid.uuid4().hex}).check()
        assert (build.out / "sum").read_text().split()[0] == expected
        seconds[name] = build.seconds
    with capsys.disabled():
        print(f"\n1 GiB context, {client.name}: direct {seconds['direct']:.1f} s, through the balancer "
              f"{seconds['through']:.1f} s: {seconds['through'] / seconds['direct']:.2f} times")


def write_large(file, size):
    """Blocks of random bytes, no two alike; returns the SHA-256 of it all."""
    block, total = os.urandom(2**20), hashlib.sha256()
    with open(file, "wb") as out:
        for number in range(size // len(block)):
            piece = number.to_bytes(8, "big") + block[8:]
            out.write(piece)
            total.update(piece)
    return total.hexdigest()
