"""Projects as CI builds them: early steps that rarely change and take long, late ones that change with every commit."""

import re
import shutil
from pathlib import Path

from .web import commit_all

# The steps sleep: what real ones do with a processor would only measure how many of these this machine has.
_DOCKERFILE = """\
FROM scratch AS base
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]

FROM base AS work
COPY dependencies /app/
RUN sleep 3 && mkdir /deps && while read -r name; do head -c 200000 /dev/urandom > /deps/$name; done < /app/dependencies
COPY library /app/
RUN sleep 1 && cat /app/library /deps/* > /app/library.a
COPY source /app/
RUN sleep 0.4 && cat /app/source /app/library.a > /app/program
RUN sleep 0.2 && test -s /app/program && mkdir /out && cp /app/source /out/

FROM scratch
COPY --from=work /out /
"""


EARLY_STEPS = 4  # of a project, that only a new project or a cold worker has to run; the base is the same for all


class Project:
    """One project: all its checkouts have the same early files. Every other one is a git checkout, whose builds are known
    by the repository; those of the others by the directory's name."""

    def __init__(self, name):
        self.name = name
        self._is_git = int(name.rpartition("-")[2]) % 2 == 0

    def check_out(self, parent: Path, change):
        """A fresh checkout below `parent` with its late source file changed, and nothing else."""
        directory = parent / self.name
        directory.mkdir(parents=True)
        for name, content in {
            "Dockerfile": _DOCKERFILE,
            "dependencies": "".join(f"{self.name}-{i}\n" for i in range(4)),
            "library": f"library of {self.name}\n" * 100,
            "source": f"{self.name} {change}\n",
        }.items():
            (directory / name).write_text(content)
        shutil.copy("/bin/busybox", directory)
        if self._is_git:
            commit_all(directory, f"https://git.example.test/team/{self.name}.git")
        return directory


def cached_steps(output):
    """(cached, all) of the Dockerfile's steps that a client's plain progress tells of. A step that another build was just
    running is told of twice, as done there and as cached here: it is a cached one."""
    names = dict(re.findall(r"(?m)^#(\d+) (\[[^]]*\d+/\d+\] .*)", output))
    cached = {names[number] for number in re.findall(r"(?m)^#(\d+) CACHED$", output) if number in names}
    return len(cached), len(set(names.values()))
