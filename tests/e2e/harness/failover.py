"""Builds to be interrupted at a chosen moment, for test_failover.py and scripts/failover-table."""

from . import contexts
from .process import wait_until

BIG = 64 << 20


def upload(folder):
    """A context whose upload takes a while."""
    made = contexts.dockerfile(folder, "FROM base\nARG ID\nRUN echo $ID > /id\nFROM scratch\nCOPY small big /\n",
                               {"small": "small\n"})
    with open(made / "big", "wb") as big:
        for i in range(BIG >> 20):
            big.write(bytes([i % 251]) * (1 << 20))
    return made


def export(folder):
    """A context with a result whose export takes a while, compressed or not."""
    return contexts.dockerfile(folder, f"""\
FROM base AS work
ARG ID
RUN echo "$ID" > /id && dd if=/dev/urandom of=/big bs=1M count={BIG >> 20} 2>/dev/null
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

    def exporting(self):
        # All that is sent before is small.
        wait_until(lambda: self._moved("sent", 0.02), "the export")
