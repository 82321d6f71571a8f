"""The running part of scripts/demo, on the harness of the end-to-end tests."""

import json
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "tests/e2e"))

from harness import contexts, tools  # noqa: E402
from harness.balancer import pool  # noqa: E402
from harness.stack import Stack, where  # noqa: E402
from harness.worker import remove_traces  # noqa: E402

BUILDS = [  # (project, client); three at a time
    ("storefront", "buildctl"), ("storefront", "buildx"), ("payments", "buildctl"),
    ("payments", "buildx"), ("search", "buildctl"), ("search", "buildx"),
]


def main():
    if sys.argv[1:2] == ["stop"]:
        if len(sys.argv) != 3:
            sys.exit("usage: scripts/demo stop FOLDER")
        return stop(Path(sys.argv[2]))
    try:
        tools.require_kernel()
    except tools.Unavailable as missing:
        sys.exit(f"make demo: not possible on this machine: {missing}")

    keep = os.environ.get("KEEP", "") not in ("", "0")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = Path(tempfile.mkdtemp(prefix="buildkit-lb-demo-"))
    stack = Stack(folder, outlive=keep)
    done = False
    try:
        workers, balancer = run(stack, folder)
        if keep:
            remember(folder, workers, balancer)
        done = True
    except KeyboardInterrupt:
        sys.exit("\nmake demo: interrupted")
    except Exception:
        for name, text in stack.logs():
            print(f"-- last lines of {name}\n{text}", file=sys.stderr)
        raise
    finally:
        if not (keep and done):
            # A second Ctrl-C must not leave half of it behind.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            stack.close()
            shutil.rmtree(folder, ignore_errors=True)


def run(stack, folder):
    began = time.monotonic()
    workers = stack.workers("current", "current", "current")
    balancer = stack.balancer([pool(workers, policy="least-active-builds")], protocol="buildkit")
    print(f"{'three buildkitd and the balancer, running':<60}{time.monotonic() - began:.1f} s\n")
    for worker in workers:
        print(f"  worker {worker.name}   {worker.address}")
    print(f"  endpoint    {balancer.address}\n")

    context = contexts.example(folder / "example")
    clients = {program: stack.client(program) for program in ("buildctl", "buildx")}
    print(f"{'build':<14}{'client':<12}{'worker':<10}time")
    for first in range(0, len(BUILDS), 3):
        running = [clients[program].start_build(balancer.address, context, name=project, args={"PROJECT": project})
                   for project, program in BUILDS[first:first + 3]]
        for build in [b.wait().check() for b in running]:
            ran_on = ", ".join(w.name for w in where(build, workers))
            assert (build.out / "report.txt").read_text() == "ok: 6 words\n"
            print(f"{build.name:<14}{build.client:<12}{ran_on:<10}{build.seconds:.1f} s", flush=True)
    print("\nall builds passed through the one endpoint")
    return workers, balancer


def remember(folder, workers, balancer):
    """Writes down what stop() needs, and tells how to use what runs on."""
    state = {
        "pids": [balancer.pid, *(w.supervisor_pid for w in workers)],
        "workers": [{"directory": str(w.directory), "cgroup": w.cgroup} for w in workers],
    }
    (folder / "demo.json").write_text(json.dumps(state))
    bin_directory = tools.bin_directory("current")
    print(f"""
It keeps running (KEEP=1). Use it:
  {bin_directory}/buildctl --addr {balancer.address} debug workers
  {bin_directory}/buildctl --addr {balancer.address} build --frontend dockerfile.v0 --local context={folder}/example \\
      --local dockerfile={folder}/example --opt build-arg:PROJECT=mine --output type=local,dest=/tmp/out
  {bin_directory}/buildx create --name demo --driver remote {balancer.address}
  curl -s http://127.0.0.1:{balancer.admin_port}/metrics
Logs and the configuration: {folder}
Stop it:
  scripts/demo stop {folder}""")


def stop(folder: Path):
    try:
        state = json.loads((folder / "demo.json").read_text())
    except FileNotFoundError:
        sys.exit(f"scripts/demo stop: no demo was kept in {folder}")
    for pid in state["pids"]:
        try:
            # Only what is still ours: the pid may be somebody else's by now.
            if str(folder).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError):
            pass
    for worker in state["workers"]:
        remove_traces(Path(worker["directory"]), worker["cgroup"])
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
