"""The program under test."""

import copy
import json
import os
import re
import signal
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import yaml

from . import tools
from .process import Daemon, accepts_connections, free_port, wait_until

# Probes quick enough for tests that wait for them.
HEALTH_CHECK = {"type": "tcp", "interval": "200ms", "timeout": "1s", "unhealthy_after": 2, "healthy_after": 1}


def pool(workers, name="default", policy="round-robin", max_builds=0, **settings):
    """A pool of the configuration, of Worker objects; `max_builds` is each worker's."""
    return {
        "name": name,
        "policy": policy,
        "connect_timeout": "2s",
        "workers": [{"name": w.name, "address": w.address, "max_builds": max_builds} for w in workers],
        "health_check": dict(HEALTH_CHECK),
        **settings,
    }


def buildkit_pool(workers, name="default", policy="least-active-builds", **settings):
    """A pool of a `protocol: buildkit` listener."""
    return pool(workers, name, policy, **{"health_check": {**HEALTH_CHECK, "type": "buildkit"}, **settings})


def listens(address):
    match = re.fullmatch(r"tcp://([\d.]+):(\d+)", address)
    return bool(match) and accepts_connections(int(match[2]), match[1])


class Balancer:
    """buildkit-lb with one listener per pool, on ports of its own."""

    def __init__(self, directory: Path, pools, protocol="tcp", listener=None, outlive=False, **settings):
        """`pools` as made by pool(); `listener` is added to each listener, `settings` to the whole configuration."""
        self.directory = directory
        self.log = directory / "buildkit-lb.log"
        self.config_file = directory / "lb.yaml"
        self.admin_port = free_port()
        self.env = {}  # added to the process's environment
        self.hosts_file = None  # what the process has as /etc/hosts, if not the machine's; may change while it runs
        self.passed = []  # listening sockets to hand over as a service manager does
        self._ports = {p["name"]: free_port() for p in pools}
        self._outlive = outlive
        self._daemon = None
        self.config = {
            "listeners": [
                {"name": f"to-{name}", "address": f"tcp://127.0.0.1:{port}", "protocol": protocol, "pool": name,
                 **(listener or {})}
                for name, port in self._ports.items()
            ],
            "pools": copy.deepcopy(pools),
            "admin": {"address": f"tcp://127.0.0.1:{self.admin_port}"},
            "state": {"file": str(directory / "state.json")},
            **settings,
        }
        directory.mkdir(parents=True, exist_ok=True)

    def start(self):
        """Returns when every pool has a worker that can take builds, and all that listen were found up: on a busy
        machine a first probe may fail."""
        self.launch()
        self._daemon.wait_ready(self.ready, "to be ready")
        wait_until(lambda: not self._late_workers(), "all workers that listen to be up")
        return self

    def _late_workers(self):
        probed = {p["name"] for p in self.config["pools"] if p.get("health_check", {}).get("type") != "off"}
        return [w for w in self.workers()["workers"]
                if w["pool"] in probed and w["health"] != "up" and listens(w["address"])]

    def write_config(self):
        self.config_file.write_text(yaml.safe_dump(self.config, sort_keys=False))

    def launch(self):
        self.write_config()
        argv = [tools.balancer_program(), "--config", self.config_file]
        if self.hosts_file:
            argv = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', self.hosts_file,
                    *argv]
        if self.passed:
            given = "; ".join(f"exec {3 + n}<&{one.fileno()}" for n, one in enumerate(self.passed))
            script = f'{given}; LISTEN_PID=$$ LISTEN_FDS={len(self.passed)} exec "$@"'
            argv = ["bash", "-c", script, "bash", *argv]
        self._daemon = Daemon("buildkit-lb", argv, self.log, outlive=self._outlive, env={**os.environ, **self.env},
                              pass_fds=[one.fileno() for one in self.passed])

    def replace(self, other):
        """Starts with the configuration of `other`, which still runs, and returns once new connections come here."""
        self.config = copy.deepcopy(other.config)
        self.admin_port = other.admin_port
        self.passed = other.passed
        self._ports = other._ports
        self.launch()
        self._daemon.wait_ready(lambda: self.log.read_text().count("info listening listener=") == len(self.config["listeners"]),
                                "to listen")
        return self

    @property
    def program(self):
        return tools.balancer_program()

    @property
    def address(self):
        """Where builds go: the endpoint of the first pool."""
        return self.address_of(next(iter(self._ports)))

    def address_of(self, pool_name):
        for listener in self.config["listeners"]:
            if listener["name"] == f"to-{pool_name}" and listener["address"].startswith("unix:"):
                return listener["address"]
        return f"tcp://127.0.0.1:{self.port_of(pool_name)}"

    @property
    def port(self):
        return self.port_of(next(iter(self._ports)))

    def port_of(self, pool_name):
        return self._ports[pool_name]

    @property
    def pid(self):
        return self._daemon.pid

    def running(self):
        return self._daemon is not None and self._daemon.running()

    def ready(self):
        return self.get("/readyz")[0] == 200

    def get(self, path):
        """(status, body) of the admin server; status 0 when nothing answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def workers(self):
        """/api/v1/workers as it is."""
        return json.loads(self.get("/api/v1/workers")[1])

    def reload(self, by="api"):
        """Has the process read `config` again, as it is now. What the API answers, or None for by="signal"."""
        self.write_config()
        if by == "signal":
            before = self._reloads()
            os.kill(self.pid, signal.SIGHUP)
            wait_until(lambda: self._reloads() > before, "the reload")
            return None
        request = urllib.request.Request(f"http://127.0.0.1:{self.admin_port}/api/v1/reload", method="POST")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            assert error.code == 422, error.read()
            return json.load(error)

    def _reloads(self):
        return sum(self.metric("buildkit_lb_config_reloads_total", result=r) for r in ("ok", "error"))

    def command(self, *args, timeout=60, env=None):
        """Runs `buildkit-lb ARGS` against this balancer, and returns what subprocess.run does."""
        return subprocess.run(self._command(*args), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=timeout, check=False, env={**os.environ, **(env or {})})

    def start_command(self, *args):
        """The same, not waited for."""
        return subprocess.Popen(self._command(*args), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True)

    def _command(self, *args):
        return [str(tools.balancer_program()), *args, "--admin", f"tcp://127.0.0.1:{self.admin_port}"]

    def metric(self, name, **labels):
        """The sum of all samples of `name` whose labels include `labels`; None when there is none."""
        total = None
        for line in self.get("/metrics")[1].splitlines():
            match = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)(?: \d+)?", line)
            if not match or match[1] != name:
                continue
            found = dict(re.findall(r'(\w+)="([^"]*)"', match[2] or ""))
            if all(found.get(key) == value for key, value in labels.items()):
                total = (total or 0) + float(match[3])
        return total

    def wait_metric(self, name, value, timeout=30.0, **labels):
        wait_until(lambda: self.metric(name, **labels) == value, f"{name}{labels} to be {value}", timeout, 0.05)

    def wait_worker_up(self, worker, up=True):
        self.wait_metric("buildkit_lb_worker_up", 1 if up else 0, worker=worker.name)

    def terminate(self):
        """SIGTERM; does not wait."""
        self._daemon.signal(signal.SIGTERM)

    def kill(self):
        self._daemon.kill()

    def wait(self, timeout=30):
        """The exit code."""
        return self._daemon.popen.wait(timeout)

    def remove(self):
        if self.running():
            self.terminate()
            self._daemon.stop(timeout=2)  # a second signal: now

    def tail(self):
        return self._daemon.tail() if self._daemon else ""
