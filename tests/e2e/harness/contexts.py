"""Build contexts that need no registry: Debian's static busybox and nothing else."""

import shutil
from pathlib import Path

from .tools import REPOSITORY

_BASE = """\
FROM scratch AS base
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
"""


def example(directory: Path):
    """deploy/example/, complete."""
    shutil.copytree(REPOSITORY / "deploy/example", directory, ignore=shutil.ignore_patterns("busybox", "out"))
    return _with_busybox(directory)


def dockerfile(directory: Path, text, files=None):
    """A context of `text` after a stage `base` that has busybox, and of `files` (name -> content)."""
    directory.mkdir(parents=True)
    (directory / "Dockerfile").write_text(_BASE + text)
    for name, content in (files or {}).items():
        (directory / name).write_text(content)
    return _with_busybox(directory)


def quick(directory: Path):
    """One step and a file `result` that holds the build argument ID: different IDs share nothing but `base`."""
    return dockerfile(directory, """\
FROM base AS work
ARG ID
RUN mkdir /out && echo "built $ID" > /out/result
FROM scratch
COPY --from=work /out /
""")


def patient(directory: Path):
    """Like `quick`, but its step takes SECONDS seconds and prints `step ID is running` as it starts."""
    return dockerfile(directory, """\
FROM base AS work
ARG ID
ARG SECONDS=5
RUN echo "step $ID is running" && sleep $SECONDS && mkdir /out && echo "built $ID" > /out/result
FROM scratch
COPY --from=work /out /
""")


def _with_busybox(directory: Path):
    shutil.copy("/bin/busybox", directory / "busybox")
    return directory
