"""What happens to a balancer for an hour in scripts/soak: builds of all kinds, workers that bounce, drains, reloads, and
hostile clients."""

import contextlib
import copy
import random
import socket
import threading
import time
import uuid
from collections import Counter

from . import attacks, contexts, failover
from .bake import bake
from .clients import VERSIONS
from .load import Load
from .raw_http2 import RawConnection, RawTunnel


class Innocents:
    """Builds by all four clients, `width` at a time: `ended` by their kind, `wrong` what went wrong with them."""

    def __init__(self, stack, lb, width):
        folder = stack.directory / f"innocents-{uuid.uuid4().hex}"
        self._lb = lb
        self._once = uuid.uuid4().hex
        self._quick, self._patient = contexts.quick(folder / "quick"), contexts.patient(folder / "patient")
        self._failing = contexts.dockerfile(folder / "failing", "FROM base\nRUN echo fails && exit 7\n")
        self._clients = stack.every_client(lb)
        self._kinds = [self._cached, self._cached, self._new, self._step, self._fails, self._canceled, self._tar,
                       self._bake]
        self._lock = threading.Lock()
        self.ended = Counter()
        self.wrong = []
        self._load = Load(self._build, width)

    def __enter__(self):
        self._load.__enter__()
        return self

    def __exit__(self, *_):
        try:
            self._load.stop()
        except AssertionError as error:
            running = [text for client in self._clients if (text := client.tail())]
            raise AssertionError("\n".join([str(error), self._lb.get("/api/v1/builds")[1], *running])) from None

    def _build(self, number):
        client = self._clients[number % len(self._clients)]
        kind = self._kinds[number // len(self._clients) % len(self._kinds)]
        try:
            why = kind(client, number)
        except AssertionError as error:
            why = str(error)
        with self._lock:
            self.ended[kind.__name__.strip("_")] += 1
            if why:
                self.wrong.append(f"{kind.__name__.strip('_')} by {client.name}: {why}")

    def _made(self, build, wanted):
        if not build.ok:
            return build.output
        made = (build.out / "result").read_text()
        return "" if made == wanted else f"it made {made!r}, not {wanted!r}"

    def _quick_build(self, client, one):
        build = client.build(self._lb.address, self._quick, args={"ID": one}, timeout=300)
        return self._made(build, f"built {one}\n")

    def _cached(self, client, number):
        return self._quick_build(client, f"{self._once}-{number % 50}")

    def _new(self, client, number):
        return self._quick_build(client, f"{self._once}-new-{number}")

    def _step(self, client, number):
        one = f"{self._once}-step-{number}"
        build = client.build(self._lb.address, self._patient, args={"ID": one, "SECONDS": "2"}, timeout=300)
        return self._made(build, f"built {one}\n")

    def _fails(self, client, _):
        build = client.build(self._lb.address, self._failing, timeout=300)
        return "" if not build.ok and "exit code: 7" in build.output else f"no exit code 7:\n{build.output}"

    def _canceled(self, client, number):
        one = f"{self._once}-canceled-{number}"
        build = client.start_build(self._lb.address, self._patient, args={"ID": one, "SECONDS": "60"})
        build.wait_step(one, timeout=300)
        build.interrupt()
        return "it was built" if build.wait(55).ok else ""

    def _tar(self, _, number):
        client = self._clients[VERSIONS.index(("buildx", "current"))]
        output = failover.OUTPUTS[1]
        build = client.build(self._lb.address, self._quick, args={"ID": f"{self._once}-{number % 50}"},
                             output=output.output, timeout=300)
        return output.wrong(build, None, "", {"result": len(f"built {self._once}-{number % 50}\n")}) if build.ok \
            else build.output

    def _bake(self, _, number):
        client = self._clients[VERSIONS.index(("buildx", ("current", "v0.13")[number % 2]))]
        build = bake(client, self._lb.address, {
            f"t{i}": {"context": str(self._quick), "args": {"ID": f"{self._once}-{number % 10}-{i}"}}
            for i in range(6)}, timeout=300)
        return "" if build.ok else build.output


class Operators:
    """Workers are killed, frozen, told to stop, drained, taken out by a reload, one at a time, and come back. In the
    thread of the caller: workers die with the thread that has started them."""

    def __init__(self, lb, workers, seed=1):
        self._lb, self._workers = lb, workers
        self.done = Counter()
        self._chance = random.Random(seed)
        self._config = copy.deepcopy(lb.config)

    def act(self):
        worker = self._chance.choice(self._workers)
        what = self._chance.choice([self.killed, self.frozen, self.told_to_stop, self.drained, self.reloaded])
        what(worker)
        self.done[what.__name__] += 1
        self._lb.wait_worker_up(worker)

    @staticmethod
    def killed(worker):
        worker.kill()
        worker.start()

    @staticmethod
    def frozen(worker):
        worker.pause()
        time.sleep(3)
        worker.resume()

    @staticmethod
    def told_to_stop(worker):
        worker.terminate()
        time.sleep(2)
        worker.kill()
        worker.start()

    def drained(self, worker):
        assert self._lb.command("drain", worker.name).returncode == 0
        time.sleep(4)
        assert self._lb.command("undrain", worker.name).returncode == 0

    def reloaded(self, worker):
        pool = self._lb.config["pools"][0]
        pool["workers"] = [{**w, "weight": self._chance.randint(1, 4)} for w in pool["workers"]
                           if w["name"] != worker.name]
        assert self._lb.reload()["reloaded"]
        time.sleep(3)
        self._lb.config = copy.deepcopy(self._config)
        self._lb.reload("signal")


class Hostile:
    """Clients that flood, send garbage, connect and say nothing, or never read: one after the other in a thread, `done` by
    name; `wrong` if one could not."""

    def __init__(self, lb, pause, seed=1):
        self._lb, self._pause = lb, pause
        self._chance = random.Random(seed)
        self.done = Counter()
        self.wrong = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stopping.set()
        self._thread.join(120)

    def _run(self):
        while not self._stopping.is_set():
            what = self._chance.choice([self.floods, self.floods, self.floods_inside, self.garbage, self.silent])
            try:
                what()
                self.done[what.__name__] += 1
            except Exception as error:  # for whoever looks at `wrong`, which is another thread
                self.wrong.append(f"{what.__name__}: {error!r}")
            self._stopping.wait(self._pause)

    def floods(self):
        attacks.run(self._lb.port, self._lb.pid, self._chance.choice(attacks.ATTACKS), seconds=2)

    def floods_inside(self):
        attack = self._chance.choice([a for a in attacks.ATTACKS if a.inside and a.reads])
        with RawConnection(self._lb.port) as connection:
            tunnel = RawTunnel(connection, uuid=uuid.uuid4().hex)
            connection.wait_for(lambda: tunnel.reader.counts)
            attacks.flood(tunnel, attack, seconds=2)

    def garbage(self):
        with socket.create_connection(("127.0.0.1", self._lb.port)) as one, contextlib.suppress(OSError):
            one.settimeout(2)
            for _ in range(100):
                one.sendall(self._chance.randbytes(1000))

    def silent(self):
        with contextlib.ExitStack() as opened:
            for _ in range(300):
                opened.enter_context(socket.create_connection(("127.0.0.1", self._lb.port)))
            self._stopping.wait(2)


def run(stack, lb, workers, seconds, width, pause=6.0, watch=lambda: None):
    """All of it at once. Returns (Innocents, Operators, Hostile); `watch` is called every `pause` seconds."""
    end = time.monotonic() + seconds
    operators = Operators(lb, workers)
    with Hostile(lb, pause / 4) as hostile, Innocents(stack, lb, width) as innocents:
        while time.monotonic() < end:
            operators.act()
            watch()
            time.sleep(pause)
    return innocents, operators, hostile
