"""What a platform team does to a pool while builds come without a pause: reloads, names that change, drains. Used by the
tests and by scripts/storms; each returns its figures and leaves judging to them."""

import contextlib
import copy
import random
import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field

from . import contexts
from .balancer import buildkit_pool
from .chaos import placed_on
from .clients import Build
from .load import Load
from .process import free_port, wait_until

_NAME = "workers.test"


@contextlib.contextmanager
def storm(stack, balancer, width, seconds=0):
    """A Load of builds by all four clients, `width` at a time, each with a step of `seconds` seconds."""
    context = contexts.patient(stack.directory / f"context-{uuid.uuid4().hex}")
    clients, once = stack.every_client(balancer), uuid.uuid4().hex

    def build(number):
        return clients[number % len(clients)].build(balancer.address, context, name=f"s{number}",
                                                    args={"ID": f"{once}-{number}", "SECONDS": seconds}, timeout=300)

    with Load(build, width) as load:
        yield load


def _lost(builds):
    return [b for b in builds if not b.ok]


@dataclass
class Reloads:
    builds: list[Build] = field(default_factory=list)
    reloads: int = 0
    refused: list = field(default_factory=list)  # what the balancer said to reloads that it did not take
    changes: Counter = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def lost(self):
        return _lost(self.builds)

    @property
    def placed(self):
        return Counter(placed_on(b.output) for b in self.builds)


def reloads_during_builds(stack, workers, reloads, builds, width=4, seed=1):
    """`reloads` configurations, spread over `builds` builds, each with other workers and other weights; half of them are
    asked for by signal."""
    chance = random.Random(seed)
    balancer = stack.balancer([buildkit_pool(workers)], protocol="buildkit")
    pool = balancer.config["pools"][0]
    all_entries = copy.deepcopy(pool["workers"])
    found, began = Reloads(), time.monotonic()
    with storm(stack, balancer, width) as load:
        for number in range(reloads):
            load.wait_builds(number * builds // reloads, timeout=300)
            before = {w["name"]: w.get("weight", 1) for w in pool["workers"]}
            some = chance.sample(all_entries, chance.randint(1, len(all_entries)))
            pool["workers"] = [{**entry, "weight": chance.randint(1, 5)} for entry in some]
            after = {w["name"]: w["weight"] for w in pool["workers"]}
            found.changes["added"] += len(after.keys() - before.keys())
            found.changes["removed"] += len(before.keys() - after.keys())
            found.changes["weights"] += sum(before[n] != after[n] for n in before.keys() & after.keys())
            said = balancer.reload(by="signal" if number % 2 else "api")
            found.reloads += 1
            if said and not said["reloaded"]:
                found.refused.append(said)
        load.wait_builds(builds, timeout=300)
    found.builds = [build for _, build, _ in load.ended]
    found.seconds = time.monotonic() - began
    failed = balancer.metric("buildkit_lb_config_reloads_total", result="error")
    if failed != len(found.refused):
        found.refused.append(f"{failed} reloads failed")
    return found


@dataclass
class Discovery:
    builds: list[Build] = field(default_factory=list)
    known_after: float = 0.0  # seconds from the change of the name until the pool had the new workers, up
    used_after: dict = field(default_factory=dict)  # new worker -> seconds until its first build began
    gone_after: float = 0.0  # seconds until the pool had dropped the old ones
    misplaced: list[Build] = field(default_factory=list)  # builds that began on them after that

    @property
    def lost(self):
        return _lost(self.builds)


def workers_of_a_name(stack, count):
    """Workers that differ by their address only, as those of a DNS name do."""
    port = free_port()
    made = []
    for number in range(count):
        made += stack.workers("current", names=[f"d{number}"], start=False, host=f"127.0.0.{20 + number}", port=port)
        made[-1].launch()
    for worker in made:
        worker.wait_ready()
    return made


class Name:
    """A host name of the balancer's own, whose addresses can be changed. (Its process has another /etc/hosts.)"""

    def __init__(self, stack, workers, **settings):
        self._hosts = stack.directory / "hosts"
        self._port = workers[0].port
        self.set(workers)
        pool = buildkit_pool([], discovery={"dns": f"tcp://{_NAME}:{self._port}", **settings})
        del pool["workers"]
        self.balancer = stack.balancer([pool], start=False, protocol="buildkit")
        self.balancer.hosts_file = self._hosts
        self.balancer.start()
        self.wait(workers)

    def set(self, workers):
        """It resolves to the addresses of `workers` now."""
        self._hosts.write_text("127.0.0.1 localhost\n" + "".join(f"{w.host} {_NAME}\n" for w in workers))

    def known(self):
        """worker's name -> health, as the balancer has them."""
        return {w["name"]: w["health"] for w in self.balancer.workers()["workers"]}

    def wait(self, workers, timeout=60):
        """Until the balancer has these, up, and no others."""
        wanted = {self.name_of(w): "up" for w in workers}
        wait_until(lambda: self.known() == wanted, f"the pool to be {sorted(wanted)}", timeout)

    def name_of(self, worker):
        return f"{worker.host}:{self._port}"


def a_name_that_changes(stack, workers, builds, interval="1s", width=4):
    """The name has two of five workers, then all, then the last three; `builds` builds in each of the three times."""
    found = Discovery()
    name = Name(stack, workers[:2], interval=interval)
    with storm(stack, name.balancer, width) as load:
        load.wait_builds(builds)
        grown_at = time.time()
        name.set(workers)
        name.wait(workers)
        found.known_after = time.time() - grown_at
        load.wait_builds(len(load.ended) + builds)
        shrunk_at = time.time()
        name.set(workers[2:])
        name.wait(workers[2:])
        found.gone_after = time.time() - shrunk_at
        gone_at = time.monotonic()
        load.wait_builds(len(load.ended) + width + builds)
    found.builds = [build for _, build, _ in load.ended]
    records = {w: w.history() for w in workers[2:]}
    refs = {b.ref for b in found.builds}
    found.used_after = {w.name: min((r.began for ref, r in of.items() if ref in refs), default=float("inf")) - grown_at
                        for w, of in records.items()}
    old = {name.name_of(w) for w in workers[:2]}
    found.misplaced = [b for began, b, _ in load.ended if began > gone_at and placed_on(b.output) in old]
    return found


@dataclass
class Drain:
    builds: list[Build]  # that ran when it began
    later: list[Build]
    code: int  # of `buildkit-lb drain --wait`
    said: str
    after_last: float  # seconds from the end of the last build until the command returned
    misplaced: list[Build]  # later builds on the drained worker

    @property
    def lost(self):
        return _lost([*self.builds, *self.later])


def drain_during_builds(stack, first, other, builds=10, seconds=4):
    """Drains `first` with --wait while it has `builds` builds and more keep coming, and kills it the moment the command
    returns: no client may need it any more."""
    balancer = stack.balancer([buildkit_pool([first, other])], protocol="buildkit")
    assert balancer.command("drain", other.name).returncode == 0  # all of the first builds go to the first worker
    patient, quick = (make(stack.directory / make.__name__) for make in (contexts.patient, contexts.quick))
    clients = stack.every_client(balancer)
    running = [clients[i % 4].start_build(balancer.address, patient, name=f"r{i}",
                                          args={"ID": f"r{i}", "SECONDS": seconds + i}) for i in range(builds)]
    for i, build in enumerate(running):
        build.wait_step(f"r{i}")
    assert balancer.command("undrain", other.name).returncode == 0

    hook = balancer.start_command("drain", first.name, "--wait", "--timeout", "2m")
    balancer.wait_metric("buildkit_lb_worker_draining", 1, worker=first.name)
    drained = []

    def kill_when_drained():
        hook.wait()
        drained.append(time.monotonic())
        first.kill()

    watch = threading.Thread(target=kill_when_drained)
    watch.start()
    later = []
    while watch.is_alive():
        later.append(clients[0].build(balancer.address, quick, name="later", args={"ID": f"later-{len(later)}"}))
    said, _ = hook.communicate()
    ended = [build.wait() for build in running]
    return Drain(ended, later, hook.returncode, said, drained[0] - max(b.ended for b in ended),
                 [b for b in later if placed_on(b.output) != other.name])


@dataclass
class Kills:
    builds: list[Build] = field(default_factory=list)
    kills: Counter = field(default_factory=Counter)  # worker -> how often
    seconds: float = 0.0

    @property
    def lost(self):
        return _lost(self.builds)

    @property
    def moved(self):
        """Builds that went well although their worker was lost."""
        return [b for b in self.builds if b.ok and " was lost; the build starts again on " in b.output]


def kills_during_builds(stack, workers, balancer, builds, every=5, width=6, seconds=2, seed=1):
    """`builds` builds of which each has a step of `seconds` seconds, through `balancer` (or a peer), while a random one
    of `workers` is killed every `every` seconds and started again at once."""
    chance = random.Random(seed)
    found, began = Kills(), time.monotonic()
    with storm(stack, balancer, width, seconds) as load:
        while len(load.ended) < builds:
            next_kill = time.monotonic() + every
            victim = chance.choice(workers)
            victim.kill()
            found.kills[victim.name] += 1
            victim.start()
            time.sleep(max(0.0, next_kill - time.monotonic()))
    found.builds = [build for _, build, _ in load.ended]
    found.seconds = time.monotonic() - began
    return found
