"""Where the real programs are, and what this machine must have to run them."""

import functools
import os
import shutil
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]


class Unavailable(Exception):
    """It can't be done on this machine; the message says what is missing."""


@functools.lru_cache(maxsize=None)
def bin_directory(*modules):
    """The directory of the pinned programs (scripts/tools builds them if need be)."""
    done = subprocess.run([REPOSITORY / "scripts/tools", *modules], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, check=False)
    if done.returncode == 3:
        raise Unavailable(done.stderr.strip().splitlines()[-1])
    if done.returncode != 0:
        raise RuntimeError(f"scripts/tools failed:\n{done.stderr}")
    return Path(done.stdout.strip())


def program(name, version="current"):
    """buildkitd, buildctl or buildx, of version "current" or "v0.13"."""
    if version == "current":
        return bin_directory("current") / name
    module = "v0.13-buildx" if name == "buildx" else "v0.13-buildkit"
    return bin_directory(module) / f"{name}-{version}"


def balancer_program():
    path = Path(os.environ.get("BUILDKIT_LB", REPOSITORY / "build/release/buildkit-lb"))
    if not os.access(path, os.X_OK):
        raise RuntimeError(f"{path} is not there: cmake --preset release && cmake --build --preset release")
    return path


def require_kernel():
    """Raises Unavailable unless a buildkitd can run here."""
    if os.geteuid() != 0:
        raise Unavailable("real workers need root (namespaces, overlayfs, cgroups): run this as root")
    for needed in ("runc", "unshare", "setpriv"):
        if shutil.which(needed) is None:
            raise Unavailable(f"{needed} is not installed: scripts/setup installs it")
    if not Path("/bin/busybox").exists():
        raise Unavailable("/bin/busybox is not installed: scripts/setup installs it (busybox-static)")
    if "overlay" not in Path("/proc/filesystems").read_text().split():
        # It may be a module that is not loaded yet.
        subprocess.run(["modprobe", "overlay"], stderr=subprocess.DEVNULL, check=False)
        if "overlay" not in Path("/proc/filesystems").read_text().split():
            raise Unavailable("this kernel has no overlayfs, which workers keep their layers in")
    if not any(line.split()[2].startswith("cgroup") for line in Path("/proc/mounts").read_text().splitlines()):
        raise Unavailable("no cgroup file system is mounted, which workers run their build steps in")
    if subprocess.run(["unshare", "--mount", "--pid", "--fork", "--mount-proc", "true"], capture_output=True,
                      check=False).returncode != 0:
        raise Unavailable("this machine does not let us make mount and pid namespaces (a container without privileges?)")
