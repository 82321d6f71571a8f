"""Faults while real builds run: a pool whose workers are full and whose queue is not empty, and what becomes of each
build and how soon the pool has noticed. Used by the tests and by scripts/chaos-table."""

import datetime
import re
import time
import uuid
from dataclasses import dataclass

from . import contexts, faults
from .balancer import buildkit_pool
from .clients import Build
from .process import wait_until

# A worker that hangs is out after PROMISED seconds at most.
HEALTH_CHECK = {"type": "buildkit", "interval": "1s", "timeout": "1s", "unhealthy_after": 2, "healthy_after": 1}
PROMISED = 1 * 2 + 1

# These faults are to be seen by the builds they meet.
WITHOUT_FAILOVER = {"failover": {"attempts": 0}}


def placed_on(output):
    """The name of the worker that a client's output tells of last; None while there is none."""
    found = re.findall(r"\[buildkit-lb\] (\S+) \(", output)
    return found[-1] if found else None


def is_up(balancer, *workers):
    """Whether probes have found them up. (The metric says 1 before the first probe too.)"""
    health = {w["name"]: w["health"] for w in balancer.workers()["workers"]}
    return all(health[w.name] == "up" for w in workers)


@dataclass(frozen=True)
class Outcome:
    """How the builds of a fault ended, by where they were when it came, and what the pool made of it."""

    fault: faults.Fault
    on_victim: list[Build]
    on_others: list[Build]
    queued: list[Build]
    later: list[Build]  # that came after the pool had noticed, or right after the fault where it is not to notice
    noticed: float | None  # seconds until the pool had taken (the last of) the fault's workers out
    again: float  # seconds from its end until the pool had them all back
    connect_failures: int  # connections for builds that the victim did not take

    @property
    def elsewhere(self):
        return [*self.on_others, *self.queued, *self.later]

    @property
    def errors(self):
        """What clients of builds that were lost were told, each once."""
        lost = [b.output for b in [*self.on_victim, *self.elsewhere] if not b.ok]
        told = re.compile(r"(?mi)^error: (?:failed to [a-z ]+: )*(.*)")
        return sorted({found[-1] for output in lost if (found := told.findall(output))})

    def summary(self):
        def lost(builds):
            return f"{sum(not b.ok for b in builds)} of {len(builds)} lost" if builds else "-"

        noticed = "-" if self.noticed is None else f"{self.noticed:.2f} s"
        return [self.fault.name, *map(lost, (self.on_victim, self.on_others, self.queued, self.later)), noticed,
                f"{self.again:.1f} s"]


class Rig:
    """Three workers, each a host of its own in a private network (network.Network), and a balancer before them. `size`:
    builds that each worker runs when the fault comes (its cap), and how many wait. `clock`: a clocks.Clock, of the
    balancer. May be used for one fault after the other."""

    def __init__(self, stack, network, size=1, queued=2, seconds=6, clock=None):
        self.size, self._queued, self._seconds = size, queued, seconds
        self.clock = clock
        self.links = [network.add_host() for _ in range(3)]
        self.workers = []
        for link, name, version in zip(self.links, ("w1", "w2", "w3"), ("current", "v0.13", "current")):
            self.workers += stack.workers(version, names=[name], start=False, host=link.address, namespace=link.far)
            self.workers[-1].launch()
        for worker in self.workers:
            worker.wait_ready()
        self.victim = self.workers[0]
        self.pool = buildkit_pool(self.workers, max_builds=size, health_check=HEALTH_CHECK, **WITHOUT_FAILOVER)
        self.balancer = stack.balancer([self.pool], start=False, protocol="buildkit")
        self.balancer.env = clock.env if clock else {}
        self._context = contexts.patient(stack.directory / "context-of-chaos")
        self._stack = stack
        self._clients = []
        self._started = 0

    def start(self):
        self.balancer.start()
        self._clients = self._stack.every_client(self.balancer)
        return self

    def _build(self, name, seconds=0):
        """Starts a build that shares no step with others; `name` is in its step's output."""
        client = self._clients[self._started % len(self._clients)]
        self._started += 1
        return client.start_build(self.balancer.address, self._context, name=name, args={"ID": name, "SECONDS": seconds})

    def settle(self):
        """Until nothing runs and all workers are up."""
        wait_until(lambda: is_up(self.balancer, *self.workers), "all workers to be up")
        for name in ("buildkit_lb_worker_active_builds", "buildkit_lb_builds"):
            self.balancer.wait_metric(name, 0)

    def fill(self):
        """As many builds as all workers take, all of them running their step, and some that wait. Returns both lists."""
        once = uuid.uuid4().hex
        running = [self._build(f"r{i}-{once}", self._seconds) for i in range(self.size * len(self.workers))]
        for build in running:
            build.wait_step(build.name)
        queued = [self._build(f"q{i}-{once}", 1) for i in range(self._queued)]
        self.balancer.wait_metric("buildkit_lb_queue_length", len(queued))
        return running, queued

    def run(self, fault):
        self.settle()
        running, queued = self.fill()
        place = {b.name: placed_on(b.output()) for b in running}
        assert sorted(place.values()) == sorted([w.name for w in self.workers] * self.size), place
        victims = self.workers if fault.of_all else [self.victim]
        hit = [b for b in running if place[b.name] in {w.name for w in victims}]
        others = [b for b in running if b not in hit]
        log_size = self.balancer.log.stat().st_size
        failures = self._connect_failures()

        began = time.time()
        fault.inflict(self)
        if fault.noticed:
            wait_until(lambda: self._noticed(log_size, victims), f"the pool to notice: {fault.name}")
        later = [self._build(f"l{i}-{uuid.uuid4().hex}") for i in range(2)] if fault.newcomers else []
        ended = {}
        if fault.holds in (faults.UNTIL_OTHERS_END, faults.UNTIL_ALL_END):
            last = hit if fault.holds == faults.UNTIL_ALL_END else []
            ended = {b.name: b.wait(180) for b in [*others, *queued, *later, *last]}
        else:
            time.sleep(max(0.0, began + fault.holds - time.time()))
        failures = self._connect_failures() - failures
        fault.heal(self)
        healed = time.monotonic()
        wait_until(lambda: is_up(self.balancer, *victims), "the pool to have its workers back")
        again = time.monotonic() - healed
        ended |= {b.name: b.wait(180) for b in [*running, *queued, *later] if b.name not in ended}
        seen = self._noticed(log_size, victims)
        return Outcome(fault, *([ended[b.name] for b in some] for some in (hit, others, queued, later)),
                       seen - began if seen else None, again, failures)

    def _connect_failures(self):
        return int(self.balancer.metric("buildkit_lb_upstream_connect_failures_total", worker=self.victim.name) or 0)

    def _noticed(self, log_size, victims):
        """The time at which the log tells of the last of the `victims` that it is down; None while one is not."""
        with open(self.balancer.log, encoding="utf-8") as log:
            log.seek(log_size)
            down = [line.split() for line in log if " worker is down " in line]
        first = {}
        for words in down:
            name = next(w for w in words if w.startswith("worker=")).removeprefix("worker=")
            first.setdefault(name, datetime.datetime.fromisoformat(words[0]).timestamp())
        times = [first.get(w.name) for w in victims]
        return max(times) if all(times) else None
