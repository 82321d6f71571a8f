"""Builds to be interrupted at a chosen moment, for test_failover.py and scripts/failover-table."""

import re

from . import contexts
from .process import wait_until

BIG = 64 << 20
EXPORTED = 192 << 20


def upload(folder):
    """A large context. A step after its upload takes some seconds: the balancer counts bytes once a second."""
    made = contexts.dockerfile(folder, """\
FROM base AS work
COPY small big /
RUN sleep 3
FROM scratch
COPY --from=work /small /big /
""", {"small": "small\n"})
    with open(made / "big", "wb") as big:
        for i in range(BIG >> 20):
            big.write(bytes([i % 251]) * (1 << 20))
    return made


def export(folder):
    """A context with a large result, compressed or not."""
    return contexts.dockerfile(folder, f"""\
FROM base AS work
ARG ID
RUN echo "$ID" > /id && dd if=/dev/urandom of=/big bs=1M count={EXPORTED >> 20} 2>/dev/null
FROM scratch
COPY --from=work /id /big /
""")


class Moments:
    """Waits until the one build that begins now gets to a moment."""

    def __init__(self, lb):
        self._lb = lb
        self._before = {direction: self._bytes(direction) for direction in ("received", "sent")}

    def _bytes(self, direction):
        return self._lb.metric("buildkit_lb_bytes_total", direction=direction) or 0

    def _moved(self, direction, share):
        return self._bytes(direction) - self._before[direction] > BIG * share

    def placed(self):
        wait_until(lambda: self._lb.metric("buildkit_lb_worker_active_builds"), "the build to be placed")

    def uploading(self):
        wait_until(lambda: self._moved("received", 0.05), "the upload")

    def exporting(self, build):
        """`build` of export(), whose client has been stopped in the middle of its export: resume() it. On a fast
        machine the export is over before the balancer has counted its bytes."""
        sending = re.compile("copying files|sending tarball")
        wait_until(lambda: sending.search(build.output()), "the export", interval=0.005)
        build.pause()
