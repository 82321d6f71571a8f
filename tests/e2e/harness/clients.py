"""Real build clients: buildctl and buildx, newest and v0.13."""

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from . import tools
from .process import wait_until


@dataclass
class Build:
    """How a build ended."""

    name: str
    client: str
    code: int
    output: str  # all that the client printed
    ref: str  # "" when the client did not tell
    seconds: float
    ended: float  # time.monotonic()
    out: Path  # the folder it wrote

    @property
    def ok(self):
        return self.code == 0

    def check(self):
        assert self.ok, f"{self.client} build {self.name} ended with code {self.code}:\n{self.output}"
        return self


class RunningBuild:
    """A build that has been started. `wait` for it; `output` may be read meanwhile."""

    def __init__(self, name, client, argv, env, folder: Path, read_ref, stdin=None):
        self.name = name
        self.client = client
        self.out = folder / "out"
        self._log = folder / "client.log"
        self._read_ref = read_ref
        self._began = time.monotonic()
        with open(self._log, "wb") as out, open(stdin or os.devnull, "rb") as given:
            self.popen = subprocess.Popen([str(a) for a in argv], env=env, stdin=given, stdout=out, stderr=out)
        self._ended = None
        self._watch = threading.Thread(target=self._await_end, daemon=True)
        self._watch.start()

    def _await_end(self):
        self.popen.wait()
        self._ended = time.monotonic()

    def output(self):
        return self._log.read_text(errors="replace")

    def running(self):
        return self._watch.is_alive()

    def wait_step(self, *ids, timeout=60):
        """Until the steps of contexts.patient with these IDs have begun and printed so. (That a step is about to begin
        is printed as well, with its whole command.)"""
        for one in ids:
            line = re.compile(rf"^(#\d+ [\d.]+ )?step {one} is running$", re.MULTILINE)
            wait_until(lambda wanted=line: wanted.search(self.output()), f"build {self.name} to run step {one}", timeout)

    def interrupt(self):
        """Ctrl-C."""
        self.popen.send_signal(signal.SIGINT)

    def pause(self):
        self.popen.send_signal(signal.SIGSTOP)

    def resume(self):
        self.popen.send_signal(signal.SIGCONT)

    def kill(self):
        if self.running():
            self.popen.kill()
            self._watch.join()

    def wait(self, timeout=120):
        self._watch.join(timeout)
        if self._watch.is_alive():
            self.kill()
            raise AssertionError(f"{self.client} build {self.name} did not end in {timeout} s:\n{self.output()}")
        return Build(self.name, self.client, self.popen.returncode, self.output(), self._read_ref(),
                     self._ended - self._began, self._ended, self.out)


class Client:
    """One build client that keeps its files (outputs, logs, builders) below `directory`."""

    program = ""
    cache_to_flag = ""

    def __init__(self, directory: Path, version="current"):
        self.version = version
        self.directory = directory
        self.name = self.program if version == "current" else f"{self.program} {version}"
        self.identity = None  # how it does TLS: an authority.Identity, with or without a certificate
        self.server_name = ""  # what it dials by TLS, if not the host of the address
        self._builds = []
        self._numbers = itertools.count(1)
        # Tests build from several threads at once.
        self._creating = threading.Lock()
        directory.mkdir(parents=True, exist_ok=True)
        self.env = {
            **os.environ,
            "HOME": str(directory),
            "DOCKER_CONFIG": str(directory / "docker"),
            "BUILDX_CONFIG": str(directory / "buildx"),
            # Nothing of it may leave this machine, nor depend on who runs it.
            "DO_NOT_TRACK": "1",
            "BUILDX_NO_DEFAULT_LOAD": "1",
            # Contexts and outputs of bakes are all over our own folders.
            "BUILDX_BAKE_ENTITLEMENTS_FS": "0",
            "NO_COLOR": "1",
        }
        for name in ("BUILDKIT_HOST", "BUILDX_BUILDER", "DOCKER_HOST", "DOCKER_CONTEXT"):
            self.env.pop(name, None)

    def run(self, *args, timeout=60, check=True):
        """Runs the program with `args` and returns what subprocess.run does."""
        argv = [str(tools.program(self.program, self.version)), *map(str, args)]
        done = subprocess.run(argv, env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=timeout, check=False)
        if check:
            assert done.returncode == 0, f"{' '.join(argv)}: code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def build(self, address, context, timeout=120, **options):
        """Builds `context` through `address` and returns a Build, whether it went well or not."""
        return self.start_build(address, context, **options).wait(timeout)

    def start_build(self, address, context, name="build", args=None, target="", no_cache=False, output=None,
                    cache_to=None, stdin=None, extra=()):
        """`args` are build arguments; `output` and `cache_to` are what to do with the result and the cache ("{out}" in
        them: the folder Build.out); `stdin` is a file; `extra` goes to the client's command line as it is."""
        folder = self.new_folder(name)
        output = (output or "type=local,dest={out}").format(out=folder / "out")
        argv, read_ref = self._command(address, context, folder, args or {}, target, no_cache, output)
        if cache_to:
            argv += [self.cache_to_flag, cache_to.format(out=folder / "out")]
        return self.start(name, folder, [*argv, *extra], read_ref, stdin)

    def new_folder(self, name):
        """Where one build keeps its files."""
        folder = self.directory / f"{next(self._numbers)}-{name}"
        folder.mkdir()
        return folder

    def start(self, name, folder, argv, read_ref=lambda: "", stdin=None):
        """Runs the program with `argv` as a build of `folder`."""
        started = RunningBuild(name, self.name, [tools.program(self.program, self.version), *argv], self.env, folder,
                               read_ref, stdin)
        self._builds.append(started)
        return started

    def _tls(self):
        """(name of the setting, value), by the names that buildx has for them."""
        if not self.identity:
            return []
        settings = {"cacert": self.identity.ca, "cert": self.identity.cert, "key": self.identity.key,
                    "servername": self.server_name}
        return [(name, str(value)) for name, value in settings.items() if value]

    def forget(self):
        """Deletes the files of builds that have ended."""
        for build in self._builds:
            if not build.running():
                shutil.rmtree(build.out.parent, ignore_errors=True)

    def remove(self):
        """Ends the builds that still run."""
        for build in self._builds:
            build.kill()

    def tail(self):
        """The output of builds that still run."""
        return "\n".join(f"== {b.name}\n{b.output()}" for b in self._builds if b.running())

    def _command(self, address, context, folder, args, target, no_cache, output):
        raise NotImplementedError


class Buildctl(Client):
    program = "buildctl"
    cache_to_flag = "--export-cache"

    def _command(self, address, context, folder, args, target, no_cache, output):
        argv = [*self._endpoint(address), "build", "--progress", "plain", "--frontend", "dockerfile.v0",
                "--local", f"context={context}", "--local", f"dockerfile={context}",
                "--output", output, "--ref-file", folder / "ref"]
        for key, value in args.items():
            argv += ["--opt", f"build-arg:{key}={value}"]
        if target:
            argv += ["--opt", f"target={target}"]
        if no_cache:
            argv += ["--no-cache"]
        return argv, lambda: _read(folder / "ref").strip()

    def _endpoint(self, address):
        return ["--addr", address, *(word for name, value in self._tls() for word in (f"--tls{name}", value))]

    def run_on(self, address, *args, **how):
        """run() against one address, with TLS where the client has it."""
        return self.run(*self._endpoint(address), "--timeout", "10", *args, **how)

    def solve(self, address, definition, local):
        """Builds the LLB in the file `definition` with the local directories `local` (name -> path)."""
        folder = self.new_folder("solve")
        argv = ["--addr", address, "build", "--progress", "plain", "--output", f"type=local,dest={folder / 'out'}",
                "--ref-file", folder / "ref"]
        for name, path in local.items():
            argv += ["--local", f"{name}={path}"]
        return self.start("solve", folder, argv, lambda: _read(folder / "ref").strip(), definition).wait()


class Buildx(Client):
    program = "buildx"
    cache_to_flag = "--cache-to"

    def builder(self, address):
        """The name of a builder of driver `remote` for `address`, made when there is none."""
        name = "lb-" + "".join(c if c.isalnum() else "-" for c in address)
        with self._creating:
            if not (self.directory / "buildx/instances" / name).exists():
                options = [word for setting in self._tls() for word in ("--driver-opt", "=".join(setting))]
                self.run("create", "--name", name, "--driver", "remote", *options, address)
        return name

    def _command(self, address, context, folder, args, target, no_cache, output):
        argv = ["build", "--builder", self.builder(address), "--progress", "plain",
                "--output", output, "--metadata-file", folder / "metadata.json"]
        for key, value in args.items():
            argv += ["--build-arg", f"{key}={value}"]
        if target:
            argv += ["--target", target]
        if no_cache:
            argv += ["--no-cache"]
        argv += [context]

        def read_ref():
            text = _read(folder / "metadata.json")
            return json.loads(text).get("buildx.build.ref", "").rpartition("/")[2] if text else ""

        return argv, read_ref


def _read(path: Path):
    return path.read_text() if path.exists() else ""


CLIENTS = {"buildctl": Buildctl, "buildx": Buildx}
VERSIONS = [(program, version) for program in CLIENTS for version in ("current", "v0.13")]
