"""HTTP/2 load by h2load, against documents that nghttpd serves."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

# A large body is one file, asked for so often: the streams of a transfer are used several times each.
BODY = 16 << 20
STREAMS = 8


@dataclass
class Load:
    """`size` counts requests for calls, and bytes for transfers."""

    arguments: list
    requests: int
    size: int


def write_documents(directory: Path):
    """A small answer, a large one (a hole: it takes no room), and request bodies alike."""
    directory.mkdir(parents=True)
    (directory / "call").write_bytes(bytes(64))
    with open(directory / "body", "wb") as body:
        body.truncate(BODY)


def calls(directory: Path, count):
    """Small requests with a body, small answers: 8 connections of 10 streams."""
    return Load(["-c8", "-m10", f"-n{count}", "-d", directory / "call", "call"], count, count)


def down(_directory, size):
    count = max(STREAMS, size // BODY)
    return Load(["-c1", f"-m{STREAMS}", f"-n{count}", "body"], count, count * BODY)


def up(directory: Path, size):
    count = max(STREAMS, size // BODY)
    return Load(["-c1", f"-m{STREAMS}", f"-n{count}", "-d", directory / "body", "call"], count, count * BODY)


def run(port, load, timeout):
    """Seconds it took. Raises OSError when not every request was answered well in time."""
    *options, path = load.arguments
    command = ["h2load", "-H", "content-type: application/grpc", "-H", "te: trailers", *options,
               f"http://127.0.0.1:{port}/{path}"]
    try:
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=timeout,
                              check=False)
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"not done after {timeout:g} s") from None
    finished = re.search(r"finished in ([\d.]+)(us|ms|s|m)", done.stdout)
    good = re.search(r"status codes: (\d+) 2xx", done.stdout)
    if not finished or not good:
        raise OSError(f"h2load failed: {done.stderr.strip()[-200:]}")
    if int(good[1]) != load.requests:
        raise OSError(f"{load.requests - int(good[1])} of {load.requests} requests failed")
    return float(finished[1]) * {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60}[finished[2]]
