"""From samples of several rounds to a table: medians, and ratios within a round."""

from collections import defaultdict
from statistics import median

from routes import OURS


class Results:
    """Samples of one case (a kind of load), by route. `unit` tells what `rate` counts in a second, `scale` what to
    divide it by."""

    def __init__(self, case, unit, scale):
        self.case = case
        self.unit = unit
        self.scale = scale
        self.failures = {}
        self._samples = defaultdict(dict)  # route → round → (CPU seconds or None, rate)

    def add(self, route, number, cpu, rate):
        self._samples[route][number] = (cpu, rate)

    def fail(self, route, why):
        self.failures[route] = why

    def _median(self, route, index):
        return median(sample[index] for sample in self._samples[route].values())

    def _ratio(self, route, index):
        """The median of ours / theirs, each of one round."""
        ours, theirs = self._samples.get(OURS, {}), self._samples[route]
        both = [ours[number][index] / theirs[number][index] for number in ours if number in theirs]
        return f"{median(both):.2f}" if both else "–"

    def as_json(self):
        return {"case": self.case, "unit": self.unit, "failures": self.failures,
                "samples": {route: [{"round": n, "cpu_seconds": cpu, "rate": rate} for n, (cpu, rate) in rounds.items()]
                            for route, rounds in self._samples.items()}}

    def markdown(self):
        lines = [f"| {self.case} | CPU s | {self.unit} | our CPU ÷ its | our rate ÷ its |",
                 "| --- | ---: | ---: | ---: | ---: |"]
        for route in dict.fromkeys([*self._samples, *self.failures]):
            if route not in self._samples:
                lines.append(f"| {route} | {self.failures[route]} | | | |")
                continue
            has_cpu = all(cpu is not None for cpu, _ in self._samples[route].values())
            cpu = f"{self._median(route, 0):.2f}" if has_cpu else "–"
            cpu_ratio = self._ratio(route, 0) if has_cpu and route != OURS else "–"
            rate_ratio = self._ratio(route, 1) if route != OURS else "–"
            name = f"{route} (later: {self.failures[route]})" if route in self.failures else route
            rate = f"{self._median(route, 1) / self.scale:,.2f}"
            lines.append(f"| {name} | {cpu} | {rate} | {cpu_ratio} | {rate_ratio} |")
        return "\n".join(lines)


def idle_markdown(rows, connections):
    """`rows` of (name, bytes a connection or a reason why there is none)."""
    lines = [f"| {connections:,} idle connections | KiB each |", "| --- | ---: |"]
    for name, value in rows:
        lines.append(f"| {name} | {value if isinstance(value, str) else f'{value / 1024:.1f}'} |")
    return "\n".join(lines)
