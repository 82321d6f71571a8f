"""A real buildkitd."""

import json
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import tools
from .process import Daemon, accepts_connections, free_port, wait_until

_CONFIG = """\
root = "{root}"
[grpc]
  address = ["{address}"]
[worker.containerd]
  enabled = false
[worker.oci]
  enabled = true
  networkMode = "host"
  defaultCgroupParent = "{cgroup}"
  {platforms}
[worker.oci.labels]
  "buildkit-lb.test/name" = "{name}"
"""

_TLS = """\
[grpc.tls]
  cert = "{tls.cert}"
  key = "{tls.key}"
  ca = "{tls.ca}"
"""


@dataclass(frozen=True)
class BuildRecord:
    """What a worker remembers of a build it ran."""

    ref: str
    began: float  # seconds since 1970, by the clock of its worker
    ended: float  # 0 while it runs
    seconds: float  # 0 while it runs
    error: str  # empty: it went well
    done: bool


class Worker:
    """One buildkitd in namespaces of its own, so that its death takes along all it had started and mounted.

    `start` and `kill` can be repeated: the address and the cache stay. `stop` for good with `remove`.
    """

    def __init__(self, name, directory: Path, version="current", platforms=(), config="", outlive=False,
                 host="127.0.0.1", port=None, namespace=None, tls=None):
        """`config`: a text to use as buildkitd.toml in place of the harness's own; where it keeps its files and
        listens is still ours to say. `namespace`: a network.Namespace to run in, where `host` is an address.
        `tls`: its authority.Identity, with which it also demands certificates of its authority."""
        self.name = name
        self.version = version
        self.host = host
        self.port = port or free_port()
        self.address = f"tcp://{host}:{self.port}"
        self.directory = directory
        self.root = directory / "root"
        self.log = directory / "buildkitd.log"
        self.cgroup = f"buildkit-lb-{os.getpid()}-{host.rpartition('.')[2]}-{self.port}"
        self.config = directory / "buildkitd.toml"
        self._inside = namespace.prefix if namespace else []
        self._outlive = outlive
        self._tls = tls
        self._daemon = None
        self._pid = None
        directory.mkdir(parents=True, exist_ok=True)
        self.config.write_text(config.replace("{cgroup}", self.cgroup) if config else _CONFIG.format(
            root=self.root, address=self.address, cgroup=self.cgroup, name=name,
            platforms=f"platforms = {json.dumps(list(platforms))}" if platforms else "")
            + (_TLS.format(tls=tls) if tls else ""))

    def start(self):
        """Returns when it answers."""
        self.launch()
        self.wait_ready()
        return self

    def launch(self):
        tools.require_kernel()
        scratch = self.directory / "tmp"
        scratch.mkdir(exist_ok=True)
        # A /run of its own: daemons on one host otherwise share /run/runc, and race for a socket in /run/buildkit.
        script = 'mount -t tmpfs tmpfs /run && exec "$@"'
        self._daemon = Daemon(
            f"worker {self.name}",
            [*self._inside, "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
             "sh", "-c", script, "sh", tools.program("buildkitd", self.version), "--config", self.config,
             "--root", self.root, "--addr", self.address, "--oci-worker-net", "host"],
            self.log, env={**os.environ, "TMPDIR": str(scratch)}, outlive=self._outlive)
        self._pid = None

    def wait_ready(self):
        self._daemon.wait_ready(lambda: accepts_connections(self.port, self.host) and self._answers(), "to answer")

    def _answers(self):
        return self.buildctl("debug", "workers", check=False).returncode == 0

    @property
    def pid(self):
        """The pid of buildkitd itself (the Daemon's is that of unshare)."""
        if self._pid is None:
            children = Path(f"/proc/{self._daemon.pid}/task/{self._daemon.pid}/children")
            self._pid = int(wait_until(lambda: children.read_text().split(), f"the child of {self._daemon.name}")[0])
        return self._pid

    @property
    def supervisor_pid(self):
        """The process whose death ends the worker and everything in it."""
        return self._daemon.pid

    def running(self):
        return self._daemon is not None and self._daemon.running()

    def kill(self):
        """kill -9, as when a machine is lost."""
        if self.running():
            os.kill(self.pid, signal.SIGKILL)
            self._daemon.popen.wait(60)

    def terminate(self):
        """SIGTERM; does not wait."""
        if self.running():
            os.kill(self.pid, signal.SIGTERM)

    def pause(self):
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self):
        os.kill(self.pid, signal.SIGCONT)

    def remove(self):
        """Ends it and deletes all it kept but its log."""
        if self.running():
            self.resume()
        self.kill()
        remove_traces(self.directory, self.cgroup)

    def buildctl(self, *args, check=True):
        # From inside, so that it can be asked whatever becomes of the network.
        tls = self._tls
        secured = ["--tlscacert", tls.ca, "--tlscert", tls.cert, "--tlskey", tls.key, "--tlsservername",
                   "worker.example"] if tls else []
        argv = [*self._inside, tools.program("buildctl"), "--addr", self.address, *secured, "--timeout", "10", *args]
        return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=check)

    def history(self):
        """ref -> BuildRecord of every build this worker knows, finished or running."""
        done = self.buildctl("debug", "histories", "--format", "{{json .}}")
        records = {}
        for line in done.stdout.splitlines():
            event = json.loads(line)
            record = event.get("record") or event
            records[record["Ref"]] = _read_record(record)
        return records

    def step_processes(self):
        """The pids of the build steps that run now."""
        # os.walk and not a glob of **: steps that end take their groups away meanwhile.
        return {pid for top in _groups(self.cgroup) for folder, _, _ in os.walk(top)
                for pid in _lines(Path(folder) / "cgroup.procs")}

    def tail(self):
        return self._daemon.tail() if self._daemon else ""


def most_at_once(worker, refs):
    """How many of the builds `refs` the worker ran at its busiest moment, by its own history."""
    records = [r for ref, r in worker.history().items() if ref in refs]
    return max((sum(o.began <= r.began < o.ended for o in records) for r in records), default=0)


def _read_record(record):
    def seconds(stamp):
        return stamp.get("seconds", 0) + stamp.get("nanos", 0) / 1e9 if stamp else 0

    began, ended = seconds(record.get("CreatedAt")), seconds(record.get("CompletedAt"))
    error = record.get("error") or {}
    return BuildRecord(ref=record["Ref"], began=began, ended=ended, seconds=max(0.0, ended - began) if ended else 0.0,
                       error=error.get("message", ""), done=bool(ended))


def remove_traces(directory: Path, cgroup):
    """Deletes what a dead worker leaves on the host: its files but the log, and its empty control groups."""
    shutil.rmtree(directory / "root", ignore_errors=True)
    shutil.rmtree(directory / "tmp", ignore_errors=True)
    for top in _groups(cgroup):
        for folder, _, _ in os.walk(top, topdown=False):
            wait_until(lambda f=folder: _rmdir(f), f"{folder} to be empty")


def _groups(name):
    return [*Path("/sys/fs/cgroup").glob(f"*/{name}"), Path(f"/sys/fs/cgroup/{name}")]


def _lines(file):
    try:
        return file.read_text().split()
    except OSError:  # the step has just ended
        return []


def _rmdir(folder):
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        pass
    except OSError:
        return False
    return True
