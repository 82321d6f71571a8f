"""Several builds on one connection and with one session (tests/tools/current/manybuilds)."""

import json
from dataclasses import dataclass

from .clients import Client


@dataclass(frozen=True)
class Ended:
    ref: str
    error: str  # empty: it went well


class ManyBuilds(Client):
    program = "manybuilds"

    def start_all(self, address, context, count, seconds):
        """Returns the RunningBuild of them all."""
        folder = self.new_folder("many")
        return self.start("many", folder, [address, context, count, seconds])


def endings(build):
    """Of a Build of start_all(), by the builds' numbers."""
    lines = [json.loads(line) for line in build.output.splitlines() if line.startswith("{")]
    return {line["build"]: Ended(line["ref"], line["error"]) for line in lines}
