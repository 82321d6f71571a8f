"""Network namespaces that are joined by links which can be disturbed.

A link is a pair of TUN devices, one in each namespace, and a program that passes their packets on (packets.py). This
needs neither veth nor `tc netem`, which not every kernel has, and it can also reset connections. Whole namespaces go with
this process: nothing is left on the machine.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import stat
import struct
import subprocess
import sys
from pathlib import Path

from . import packets, tools

_CLONE_NEWNET = 0x40000000
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_TUN = Path("/dev/net/tun")

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result):
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def require():
    """Raises Unavailable unless this machine lets us make namespaces and TUN devices."""
    if os.geteuid() != 0:
        raise tools.Unavailable("network namespaces need root: run this as root")
    with contextlib.suppress(OSError):
        if not _TUN.exists():
            _TUN.parent.mkdir(parents=True, exist_ok=True)
            os.mknod(_TUN, 0o666 | stat.S_IFCHR, os.makedev(10, 200))
    try:
        with contextlib.closing(Namespace()) as one, one.entered():
            os.close(_open_tun("try"))
    except (OSError, subprocess.CalledProcessError) as error:
        raise tools.Unavailable(f"network namespaces with TUN devices can't be made here ({error}): is "
                                "/dev/net/tun there, is this a container without privileges?") from None


class Namespace:
    """A network namespace whose loopback is up. It lives until close() and until the last process in it has ended."""

    def __init__(self):
        with _coming_back():
            _checked(_libc.unshare(_CLONE_NEWNET))
            self._file = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            _ip("link", "set", "lo", "up")

    def close(self):
        os.close(self._file)

    def enter(self):
        """This thread, and whatever it starts from now on."""
        _checked(_libc.setns(self._file, _CLONE_NEWNET))

    @contextlib.contextmanager
    def entered(self):
        with _coming_back():
            self.enter()
            yield self

    @property
    def prefix(self):
        """What makes a command line run in it."""
        return ["nsenter", f"--net=/proc/{os.getpid()}/fd/{self._file}"]


@contextlib.contextmanager
def _coming_back():
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield
    finally:
        _checked(_libc.setns(here, _CLONE_NEWNET))
        os.close(here)


def _ip(*args):
    subprocess.run(["ip", *args], check=True, capture_output=True)


def _open_tun(name):
    """The descriptor of a new TUN device in the namespace of this thread; the device goes when it is closed."""
    device = os.open(_TUN, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
    except OSError:
        os.close(device)
        raise
    return device


class Link:
    """Joins two namespaces; `address` is that of the far end as the near one sees it."""

    def __init__(self, near, far: Namespace, number):
        self.far = far
        here, self.address = f"10.77.{number}.1", f"10.77.{number}.2"
        ends = [self._end(near, f"to-{number}", here, self.address), self._end(far, "uplink", self.address, here)]
        self._relay = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", sys.executable, "-B", packets.__file__, *map(str, ends)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pass_fds=ends)
        for end in ends:
            os.close(end)

    @staticmethod
    def _end(namespace, name, own, peer):
        with namespace.entered():
            device = _open_tun(name)
            _ip("address", "add", own, "peer", peer, "dev", name)
            _ip("link", "set", name, "up")
        return device

    def disturb(self, **how):
        """As packets.py takes it: drop, delay, reset. In force when this returns; what it says of packets until now."""
        self._relay.stdin.write(json.dumps(how) + "\n")
        self._relay.stdin.flush()
        answer = self._relay.stdout.readline()
        assert answer, "the program between two namespaces has ended"
        return json.loads(answer)

    def heal(self):
        return self.disturb()

    def close(self):
        self._relay.stdin.close()
        self._relay.wait(10)
        self._relay.stdout.close()


class Network:
    """A namespace that this thread is in while the `with` lasts, and hosts around it, each behind a link of its own."""

    def __init__(self):
        self.links = []
        self._open = contextlib.ExitStack()

    def __enter__(self):
        with self._open as undo:
            self._hub = undo.enter_context(contextlib.closing(Namespace()))
            undo.enter_context(_coming_back())
            self._hub.enter()
            self._open = undo.pop_all()
        return self

    def __exit__(self, *_):
        self._open.close()

    def add_host(self):
        """Returns the link to it."""
        far = self._open.enter_context(contextlib.closing(Namespace()))
        self.links.append(self._open.enter_context(contextlib.closing(Link(self._hub, far, len(self.links) + 1))))
        return self.links[-1]
