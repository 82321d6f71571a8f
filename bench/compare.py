"""Runs the comparison. Started by bench/compare; bench/README.md tells what is measured and how."""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import http2_load
import idle
import measure
import report
import routes
import tcp_peer
import tls


@dataclass
class Sizes:
    """How much of everything. `seconds`: no round begins that would end after them, counted from the start."""

    transfer: int
    calls: int
    connections: int
    handshakes: int
    rounds: int
    seconds: float


QUICK = Sizes(transfer=256 << 20, calls=20_000, connections=1_000, handshakes=300, rounds=3, seconds=60)
FULL = Sizes(transfer=2 << 30, calls=100_000, connections=5_000, handshakes=1_000, rounds=3, seconds=260)
PARTS = ("tcp", "http2", "tls", "idle")

# One transfer or one series of calls takes a few seconds at the most, unless it is stuck.
_TIMEOUT = 30.0


def say(text):
    print(text, file=sys.stderr, flush=True)


class Case:
    """One kind of load that goes through several routes: `run(route)` gives seconds, `amount` is what it moved."""

    def __init__(self, title, unit, scale, amount, run):
        self.results = report.Results(title, unit, scale)
        self.amount = amount
        self._run = run

    def sample(self, route, number):
        if route.name in self.results.failures:
            return  # it would only take the others' time
        before = measure.cpu_seconds(route.pid) if route.pid else None
        try:
            seconds = self._run(route)
        except OSError as error:
            self.results.fail(route.name, str(error))
            say(f"  {self.results.case}, {route.name}: {error}")
            return
        cpu = measure.cpu_seconds(route.pid) - before if route.pid else None
        self.results.add(route.name, number, cpu, self.amount / seconds)


def tcp_cases(sizes):
    def case(direction):
        return Case(f"tcp, {sizes.transfer / 2**30:g} GiB {direction}", "GB/s", 1e9, sizes.transfer,
                    lambda route: tcp_peer.transfer(route.port, direction, sizes.transfer, _TIMEOUT))

    return [case("down"), case("up")]


def http2_cases(sizes, documents):
    def case(title, unit, scale, load):
        return Case(title, unit, scale, load.size, lambda route: http2_load.run(route.port, load, _TIMEOUT))

    transfer = f"HTTP/2, {sizes.transfer / 2**30:g} GiB"
    return [
        case(f"HTTP/2, {sizes.calls:,} calls", "1000/s", 1e3, http2_load.calls(documents, sizes.calls)),
        case(f"{transfer} down", "GB/s", 1e9, http2_load.down(documents, sizes.transfer)),
        case(f"{transfer} up", "GB/s", 1e9, http2_load.up(documents, sizes.transfer)),
    ]


def run_rounds(groups, sizes, started):
    """`groups` of (cases, routes). In every round each case goes through each of its routes; who begins changes."""
    longest = 0.0
    for number in range(sizes.rounds):
        begun = time.monotonic()
        if begun - started + longest > sizes.seconds:
            say(f"no time for round {number + 1}")
            return number
        say(f"round {number + 1} of {sizes.rounds}")
        for cases, ways in groups:
            turn = number % len(ways)
            for case in cases:
                for route in ways[turn:] + ways[:turn]:
                    case.sample(route, number)
        longest = max(longest, time.monotonic() - begun)
    return sizes.rounds


def compare(parts, sizes, directory):
    started = time.monotonic()
    groups, things, idle_rows, tls_groups = [], [], [], []
    try:
        if "tcp" in parts:
            backends = routes.tcp_backends(directory / "tcp-backends")
            things += backends
            ways = [routes.direct(backends), *routes.tcp_routes(directory / "tcp", backends)]
            things += ways
            groups.append((tcp_cases(sizes), ways))
        if "http2" in parts:
            documents = directory / "documents"
            http2_load.write_documents(documents)
            backends = routes.http2_backends(directory / "http2-backends", documents)
            things += backends
            ways = [routes.direct(backends), *routes.http2_routes(directory / "http2", backends)]
            things += ways
            groups.append((http2_cases(sizes, documents), ways))
        if "tls" in parts:
            backends = routes.tcp_backends(directory / "tls-backends", hold=True)
            things += backends
            (directory / "tls").mkdir()
            tls_groups = tls.make_groups(directory / "tls", backends)
            for group in tls_groups:
                things += group.ways
                groups.append((tls.cases(group, sizes.handshakes, Case), group.ways))
        rounds = run_rounds(groups, sizes, started)
        for _ in range(rounds):
            for group in tls_groups:
                group.sample_storms(sizes.handshakes)
    finally:
        for thing in reversed(things):
            thing.remove()
    if "idle" in parts:
        say("idle connections")
        idle_rows = idle.run(directory / "idle", sizes.connections)
    storms = [storm for group in tls_groups for storm in group.storms]
    return [case.results for cases, _ in groups for case in cases], idle_rows, storms, rounds


def main():
    parser = argparse.ArgumentParser(prog="bench/compare", description="Compares buildkit-lb with nginx, HAProxy and "
                                     "nghttpx on this machine: CPU time, throughput, memory of idle connections.")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--full", action="store_true", help="2 GiB, 100,000 calls, 5,000 connections, 1,000 handshakes (the default)")
    size.add_argument("--quick", action="store_true", help="an eighth to a fifth of that, in about a minute")
    parser.add_argument("--only", default=",".join(PARTS), metavar="PARTS", help="some of tcp,http2,tls,idle")
    parser.add_argument("--rounds", type=int, help="default: 3")
    parser.add_argument("--seconds", type=float, help="no round begins that would end later; default: 260, quick: 60")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples there, too")
    arguments = parser.parse_args()
    parts = arguments.only.split(",")
    if not set(parts) <= set(PARTS):
        parser.error(f"--only: some of {','.join(PARTS)}")
    missing = routes.missing_programs()
    if missing:
        sys.exit(f"bench/compare: not installed: {' '.join(missing)} (scripts/setup installs what is needed)")
    sizes = QUICK if arguments.quick else FULL
    sizes.rounds = arguments.rounds or sizes.rounds
    sizes.seconds = arguments.seconds or sizes.seconds

    if os.geteuid() == 0:
        os.nice(-10)  # all that is started inherits it: what else runs on the machine disturbs less
    most = idle.allow_many_files()
    sizes.connections = min(sizes.connections, (most - 200) // 2)
    directory = Path(tempfile.mkdtemp(prefix="buildkit-lb-bench-"))
    try:
        results, idle_rows, storms, rounds = compare(parts, sizes, directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)

    tables = [result.markdown() for result in results]
    if storms:
        tables.append(tls.storm_markdown(storms, sizes.handshakes))
    if idle_rows:
        tables.append(report.idle_markdown(idle_rows, sizes.connections))
    print(f"Medians of {rounds} rounds; load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs at the end.\n")
    print("\n\n".join(tables))
    if arguments.json:
        arguments.json.write_text(json.dumps({"cases": [result.as_json() for result in results],
                                              "storms": [vars(storm) for storm in storms],
                                              "idle_bytes": dict(idle_rows)}, indent=2) + "\n")


if __name__ == "__main__":
    main()
