"""What clients ask of a pool as a whole, through a balancer, beside what the workers say when they are asked directly.

`expected` is always made of the direct answers at that moment; nothing is known beforehand but the order of versions.
"""

import json
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass

from . import tools
from .process import free_port, wait_until


@dataclass
class Row:
    """One command of one client."""

    command: str
    client: str
    expected: str
    got: str
    ok: bool


def _row(command, client, expected, got, show=None):
    show = show or (lambda value: value if isinstance(value, str) else f"{len(value)} of {_short(value)}")
    return Row(command, client.name, show(expected), show(got), expected == got)


def _short(values):
    return ", ".join(sorted(v[:6] for v in values)[:4]) + (", …" if len(values) > 4 else "")


def ids(text):
    """The `id`s of JSON lines, or of lists of them."""
    found = set()
    for line in text.splitlines():
        value = json.loads(line)
        found |= {one["id"] for one in (value if isinstance(value, list) else [value] if value else [])}
    return found


def _created(record):
    """Seconds and nanoseconds, or (v0.13) the same as text."""
    stamp = record["CreatedAt"]
    if isinstance(stamp, dict):
        return stamp.get("seconds", 0), stamp.get("nanos", 0)
    seconds, _, fraction = stamp.rstrip("Z").partition(".")
    return seconds, int(fraction.ljust(9, "0"))


def _first_column(text):
    """The IDs in the first column of a table."""
    return {m[1] for m in re.finditer(r"(?m)^([a-z0-9]{25})\*?\s", text)}


def _version_key(version):
    return [int(n) for n in re.findall(r"\d+", version)]


def _without_times(log):
    """The steps and lines of a log, without what depends on when it was printed."""
    return sorted(re.sub(r"\b\d+\.\d+s?\b", "", line).strip() for line in log.splitlines() if line.strip())


class Comparison:
    """Runs commands of one pair of clients (buildctl and buildx of one version)."""

    def __init__(self, stack, workers, balancer, version):
        self.workers = workers
        self.balancer = balancer
        self.buildctl = stack.client("buildctl", version)
        self.buildx = stack.client("buildx", version)
        self.version = version

    # ---- Asking ----

    def _buildctl(self, address, *args):
        return self.buildctl.run("--addr", address, *args).stdout

    def _buildx(self, address, *args, check=True):
        return self.buildx.run(*args, "--builder", self.buildx.builder(address), check=check)

    def _union(self, ask):
        everything = set()
        for worker in self.workers:
            everything |= ask(worker.address)
        return everything

    def _compared(self, command, client, ask):
        """The pool's answer beside the union of the workers'."""
        expected = self._union(ask)
        return _row(command, client, expected, ask(self.balancer.address))

    def _histories(self, address):
        events = map(json.loads, self._buildctl(address, "debug", "histories", "--format", "{{json .}}").splitlines())
        return {event["record"]["Ref"]: event["record"] for event in events}

    def build_everywhere(self, context):
        """One build on each worker that the balancer knows nothing of."""
        return [self.buildctl.build(w.address, context).check().ref for w in self.workers]

    # ---- Commands that change nothing ----

    def reading(self):
        yield from self.record_rows()  # before the balancer has seen anything of these builds
        yield self.workers_row()
        yield self.info_row()
        yield self._compared("buildctl du", self.buildctl,
                             lambda a: ids(self._buildctl(a, "du", "--format", "{{json .}}")))
        yield self._compared("buildctl debug histories", self.buildctl, lambda a: set(self._histories(a)))
        yield self.order_row()
        yield self.monitor_row()
        yield from self.inspect_rows()
        yield self._compared("buildx du", self.buildx, lambda a: _first_column(self._buildx(a, "du").stdout))
        if self.version == "current":
            yield from self.history_rows()

    def workers_row(self):
        return self._compared("buildctl debug workers", self.buildctl,
                              lambda a: ids(self._buildctl(a, "debug", "workers", "--format", "{{json .}}")))

    def _info(self, address):
        return re.search(r"BuildKit:\s+(.*)", self._buildctl(address, "debug", "info"))[1]

    def info_row(self):
        oldest = min((self._info(w.address) for w in self.workers), key=_version_key)
        return _row("buildctl debug info", self.buildctl, oldest, self._info(self.balancer.address))

    def order_row(self):
        """Histories of a pool go by time."""
        records = list(self._histories(self.balancer.address).values())
        times = [_created(r) for r in records]
        return _row("buildctl debug histories: order", self.buildctl, "the newest first",
                    "the newest first" if times == sorted(times, reverse=True) else f"another: {times}")

    def record_rows(self):
        """The log and a blob of one build of each worker."""
        for worker in self.workers:
            ref, record = next(iter(self._histories(worker.address).items()))
            name = f"{worker.name} ({worker.version})"
            direct = _without_times(self._buildctl(worker.address, "debug", "logs", ref))
            through = _without_times(self._buildctl(self.balancer.address, "debug", "logs", ref))
            yield _row(f"buildctl debug logs, a build of {name}", self.buildctl, direct, through,
                       lambda lines: f"{len(lines)} lines")
            digest = record["logs"]["digest"]
            yield _row(f"buildctl debug get, a blob of {name}", self.buildctl,
                       self._blob(worker.address, digest), self._blob(self.balancer.address, digest),
                       lambda blob: f"{len(blob)} bytes")

    def _blob(self, address, digest):
        argv = [str(tools.program("buildctl", self.version)), "--addr", address, "debug", "get", digest]
        done = subprocess.run(argv, env=self.buildctl.env, capture_output=True, timeout=60, check=False)
        return done.stdout if done.returncode == 0 else done.stderr

    def _monitored(self, address, enough):
        """The refs that `debug monitor` tells; ends once it has told `enough` of them, or after 5 s."""
        argv = [str(tools.program("buildctl", self.version)), "--addr", address, "debug", "monitor", "--completed"]
        with subprocess.Popen(argv, env=self.buildctl.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              text=True) as running:
            deadline = time.monotonic() + 5
            refs = set()
            try:
                while len(refs) < enough and time.monotonic() < deadline:
                    if found := re.search(r"ref:(\S+)", running.stdout.readline()):
                        refs.add(found[1])
            finally:
                running.send_signal(signal.SIGKILL)
        return refs

    def monitor_row(self):
        expected = self._union(lambda a: set(self._histories(a)))
        got = self._monitored(self.balancer.address, len(expected))
        return _row("buildctl debug monitor --completed", self.buildctl, expected, got)

    def _inspect(self, address):
        text = self.buildx.run("inspect", "--bootstrap", self.buildx.builder(address)).stdout
        return (set(re.search(r"Platforms:\s+(.*)", text)[1].split(", ")),
                re.search(r"(?i)BuildKit(?: version)?:\s+(v\S+)", text)[1])

    def inspect_rows(self):
        direct = [self._inspect(w.address) for w in self.workers]
        platforms, version = self._inspect(self.balancer.address)
        yield _row("buildx inspect --bootstrap: platforms", self.buildx, set().union(*(p for p, _ in direct)),
                   platforms, lambda p: ", ".join(sorted(p)))
        oldest = min((v for _, v in direct), key=_version_key)
        yield _row("buildx inspect --bootstrap: version", self.buildx, oldest, version)
        name = self.buildx.builder(self.balancer.address)
        line = re.search(rf"{re.escape(name)}0\s.*", self.buildx.run("ls").stdout)
        yield _row("buildx ls", self.buildx, f"running {oldest}",
                   " ".join(re.search(r"(running)\s+(v\S+)", line[0]).groups()) if line else "no such node")

    # ---- buildx history ----

    def _listed(self, address):
        lines = self._buildx(address, "history", "ls", "--format", "json").stdout.splitlines()
        return [json.loads(line)["ref"].rpartition("/")[2] for line in lines]

    def history_rows(self):
        yield self._compared("buildx history ls", self.buildx, lambda a: set(self._listed(a)))
        for worker in self.workers:
            # The oldest is buildctl's. Of its own builds buildx adds what it knows itself, under the builder's name.
            ref = self._listed(worker.address)[-1]
            name = f"{worker.name} ({worker.version})"
            for command, read in (
                    ("logs", lambda a, r=ref: _without_times(self._logs(a, r))),
                    ("inspect", lambda a, r=ref: self._inspected(a, r)),
                    ("trace", self._trace_of(ref)),
                    ("export", lambda a, r=ref: self._exported(a, r))):
                yield _row(f"buildx history {command}, a build of {name}", self.buildx, read(worker.address),
                           read(self.balancer.address), lambda v: f"{len(v)} {'bytes' if isinstance(v, str) else 'items'}")

    def _logs(self, address, ref):
        done = self._buildx(address, "history", "logs", ref)
        return done.stdout + done.stderr

    def _inspected(self, address, ref):
        record = json.loads(self._buildx(address, "history", "inspect", "--format", "json", ref).stdout)
        return json.dumps(record, sort_keys=True)

    def _exported(self, address, ref):
        """Sizes of everything in an exported record. (Its maps are written in any order, so digests differ.)"""
        out = self.buildx.new_folder("export") / "record"
        self._buildx(address, "history", "export", "-o", out, ref)
        listed = subprocess.run(["tar", "-tvf", out], capture_output=True, text=True, timeout=60, check=True)
        lines = map(str.split, listed.stdout.splitlines())
        return sorted(int(line[2]) for line in lines if line[-1].startswith("blobs/") and not line[-1].endswith("/"))

    def _trace_of(self, ref):
        def read(address):
            port = free_port()
            argv = [str(tools.program("buildx")), "history", "trace", "--addr", f"127.0.0.1:{port}", "--builder",
                    self.buildx.builder(address), ref]
            log = self.buildx.new_folder("trace") / "log"
            with open(log, "wb") as out, subprocess.Popen(argv, env=self.buildx.env, stdin=subprocess.DEVNULL,
                                                          stdout=out, stderr=out) as running:
                try:
                    url = wait_until(lambda: running.poll() is not None or
                                     re.search(r"http://\S+/trace/([0-9a-f]+)", log.read_text()),
                                     "buildx history trace to serve", 30)
                    if url is True:
                        return log.read_text()
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/traces/{url[1]}", timeout=20) as answer:
                        spans = json.load(answer)["data"][0]["spans"]
                    return sorted(s["spanID"] for s in spans)
                except urllib.error.URLError as error:
                    return f"{error}: {log.read_text()}"
                finally:
                    running.send_signal(signal.SIGKILL)
        return read

    # ---- Commands that change something ----

    def removing(self):
        """Removes the builds of every worker that the balancer may not know, then its cache."""
        if self.version == "current":
            refs = [next(iter(self._histories(w.address))) for w in self.workers]
            self._buildx(self.balancer.address, "history", "rm", *refs)
            left = self._union(lambda a: set(self._histories(a))) & set(refs)
            yield _row("buildx history rm, a build of each worker", self.buildx, set(), left)
        yield self.prune_row("buildctl prune --keep-storage", self.buildctl, lambda: ids(
            self._buildctl(self.balancer.address, "prune", "--keep-storage", "0.000001", "--format", "{{json .}}")))

    def prune_row(self, command, client, prune):
        """What the client was told is gone, beside what is gone from the workers."""
        def usage(address):
            return ids(self._buildctl(address, "du", "--format", "{{json .}}"))

        before = [usage(w.address) for w in self.workers]
        told = prune()
        gone = [had - usage(w.address) for had, w in zip(before, self.workers)]
        row = _row(command, client, set().union(*gone), told)
        row.ok = row.ok and all(gone)  # something on every worker
        return row

    def buildx_prune_row(self):
        return self.prune_row("buildx prune --force", self.buildx,
                              lambda: _first_column(self._buildx(self.balancer.address, "prune", "--force").stdout))
