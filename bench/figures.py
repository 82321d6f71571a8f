"""Draws the figures of docs/simulation.md from runs of build/bench/simulate and build/bench/micro.

    bench/figures              all of them, a few minutes
    bench/figures --quick      smaller runs, to see that it works
    bench/figures --out DIR    elsewhere than docs/img
    bench/figures --only picks some of load, size, spill, hours, picks
"""

import argparse
import csv
import json
import os
import subprocess
import tempfile
from pathlib import Path

from svg import chart

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "bench"
POLICIES = ["cache-affinity", "least-active-builds", "round-robin"]


class Figures:
    def __init__(self, out, quick):
        self.out, self.quick = out, quick

    def simulate(self, **options):
        """The rows that simulate writes, one a policy."""
        if self.quick:
            options["builds"] = options.get("builds", 300_000) // 20
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "rows.csv"
            words = [w for name, value in options.items() for w in (f"--{name.replace('_', '-')}", str(value))]
            subprocess.run([BUILD / "simulate", *words, "--csv", path], check=True, stdout=subprocess.DEVNULL)
            with path.open() as file:
                return [{k: v if k == "policy" else float(v) for k, v in row.items()} for row in csv.DictReader(file)]

    def sweep(self, name, values, fixed):
        """For each policy, its rows in the order of `values`."""
        rows = {policy: [] for policy in POLICIES}
        for value in values:
            for row in self.simulate(**{name: value, "policy": ",".join(POLICIES)}, **fixed(value)):
                rows[row["policy"]].append((value, row))
        return rows

    def load(self):
        loads = [0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5]
        rows = self.sweep("load", loads, lambda _: {"builds": 300_000})
        ideal = [(value, row["ideal_warm_share"] * 100) for value, row in rows[POLICIES[0]]]
        x = {"label": "load: use of the pool if every build were warm, averaged over the day", "low": 0}
        chart(self.out / "simulation-load-warm.svg", "Builds that find their project in the cache", x,
              {"label": "warm builds", "low": 0, "high": 100, "suffix": " %"},
              {**{p: [(v, row["warm_share"] * 100) for v, row in rows[p]] for p in POLICIES},
               "one endless cache": ideal})
        chart(self.out / "simulation-load-time.svg", "From asking for a build to its end", x,
              {"label": "mean of wait and build, seconds", "low": 0},
              {**{p: [(v, row["mean_time"] + row["mean_wait"]) for v, row in rows[p]] for p in POLICIES},
               "one endless cache": [(v, row["ideal_mean_time"]) for v, row in rows[POLICIES[0]]]})

    def size(self):
        sizes = [3, 10, 30, 100, 300, 1000]
        rows = self.sweep("workers", sizes, lambda n: {"builds": max(30_000, min(1_000_000, n * 5000))})
        chart(self.out / "simulation-size.svg", "Warm builds by the size of the pool",
              {"label": "workers, with 20 projects for each", "log": True},
              {"label": "share of what one endless cache has", "low": 0, "high": 100, "suffix": " %"},
              {p: [(v, row["warm_share"] / row["ideal_warm_share"] * 100) for v, row in rows[p]] for p in POLICIES})

    def spill(self):
        lines = {}
        for load in (0.1, 0.2, 0.3):
            lines[f"load {load}"] = []
            for spill in (1, 2, 3, 4, 5, 6):
                row = self.simulate(load=load, spill_after=spill, builds=300_000, policy="cache-affinity")[0]
                lines[f"load {load}"].append((spill, row["mean_time"] + row["mean_wait"]))
        chart(self.out / "simulation-spill.svg", "What spill_after does (workers run 3 builds at full speed)",
              {"label": "affinity.spill_after"}, {"label": "mean of wait and build, seconds", "low": 80}, lines)

    def hours(self):
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "hours.csv"
            builds = 50_000 if self.quick else 1_000_000
            subprocess.run([BUILD / "simulate", "--builds", str(builds), "--policy", ",".join(POLICIES), "--hours", path],
                           check=True, stdout=subprocess.DEVNULL)
            with path.open() as file:
                rows = list(csv.DictReader(file))
        lines = {p: [(float(r["hour"]) / 24, float(r["mean_time"])) for r in rows
                     if r["policy"] == p and int(r["builds"]) > 0] for p in POLICIES}
        days = max(point[0] for point in lines[POLICIES[0]])
        chart(self.out / "simulation-hours.svg", "A pool of 100 workers from day to day", {"label": "days", "low": 0},
              {"label": "mean build, seconds", "low": 0}, lines,
              [(days * 0.4, "+1"), (days * 0.55, "-1"), (days * 0.7, "+10")], dots=False)

    def picks(self):
        command = [BUILD / "micro", "--benchmark_format=json", "--benchmark_repetitions=" + ("1" if self.quick else "7"),
                   "--benchmark_min_time=" + ("0.02" if self.quick else "0.1")]
        result = subprocess.run(command, check=True, capture_output=True, text=True)
        best = {}
        for run in json.loads(result.stdout)["benchmarks"]:
            if run["run_type"] == "iteration":
                name, workers = run["name"].split("/")[:2]
                at = best.setdefault(name, {})
                # The least of several: whatever else runs on the machine can only add.
                at[int(workers)] = min(at.get(int(workers), 1e18), run["cpu_time"] / 1000)
        for name, points in best.items():
            print(name, *(f"{n}: {us:.2f} µs" for n, us in sorted(points.items())))
        chart(self.out / "pick-cost.svg", "What it costs to choose a worker, with 100,000 keys remembered",
              {"label": "workers", "log": True}, {"label": "microseconds a pick", "log": True},
              {name: sorted(points.items()) for name, points in best.items()})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "img")
    parser.add_argument("--quick", action="store_true")
    names = ["load", "size", "spill", "hours", "picks"]
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    arguments = parser.parse_args()
    os.makedirs(arguments.out, exist_ok=True)
    figures = Figures(arguments.out, arguments.quick)
    for name in arguments.only:
        getattr(figures, name)()
        print("drawn:", name, flush=True)


if __name__ == "__main__":
    main()
