"""Builds to be interrupted at a chosen moment, and what becomes of their results: for test_failover*.py and
scripts/failover-table."""

import re
import tarfile
from dataclasses import dataclass

from . import contexts
from .balancer import buildkit_pool
from .process import Timeout, wait_until

BIG = 64 << 20
EXPORTED = 192 << 20


def balancer(stack, workers, **settings):
    """One that sends builds to `workers[0]` as long as that is there, until let_others_in()."""
    lb = stack.balancer([buildkit_pool(workers, failover=settings)], protocol="buildkit", log={"level": "debug"})
    for other in workers[1:]:
        assert lb.command("drain", other.name).returncode == 0
    return lb


def let_others_in(lb, workers):
    for other in workers[1:]:
        assert lb.command("undrain", other.name).returncode == 0


def line(lost, next_one):
    """What the client is told."""
    return f"[buildkit-lb] {lost.name} was lost; the build starts again on {next_one.name}"


def restarts(lb):
    return lb.metric("buildkit_lb_failovers_total", result="restarted")


def upload(folder, size=BIG):
    """A large context. A step after its upload takes some seconds: the balancer counts bytes once a second."""
    made = contexts.dockerfile(folder, """\
FROM base AS work
COPY small big /
RUN sleep 3
FROM scratch
COPY --from=work /small /big /
""", {"small": "small\n"})
    with open(made / "big", "wb") as big:
        for i in range(size >> 20):
            big.write(bytes([i % 251]) * (1 << 20))
    return made


def export(folder):
    """A context with a large result, where it is not compressed."""
    return contexts.dockerfile(folder, f"""\
FROM base AS work
ARG ID
RUN echo "$ID" > /id && dd if=/dev/zero of=/big bs=1M count={EXPORTED >> 20} 2>/dev/null
FROM scratch
COPY --from=work /id /big /
""")


def on_registry(folder, registry):
    """A context whose frontend asks `registry` for an image, as most do, while it reads the Dockerfile. The image must
    be there: see push_base()."""
    return contexts.dockerfile(folder, f"""\
FROM {registry.host}/base AS other
FROM base AS work
ARG ID
COPY --from=other /base /base
RUN echo "built $ID" > /result
FROM scratch
COPY --from=work /base /result /
""")


def push_base(client, address, folder, registry):
    """An image with one file."""
    context = contexts.dockerfile(folder, "FROM scratch\nCOPY base /\n", {"base": "of the base\n"})
    client.build(address, context, output=f"type=image,name={registry.host}/base,push=true").check()


@dataclass(frozen=True)
class Output:
    """What a build does with its result. `exporting` is what a client prints in the middle of that. `once`: it writes
    one file, which only the newest buildx begins again."""

    name: str
    output: str
    exporting: str
    cache_to: str = ""
    once: bool = False

    def of(self, registry, tag):
        """What Client.start_build takes."""
        there = {"registry": registry.host, "tag": tag, "out": "{out}"}
        return {"output": self.output.format(**there), "cache_to": self.cache_to.format(**there)}

    def restartable(self, client):
        """Whether a build by `client` can start again after its export has begun."""
        return not self.once or (client.program, client.version) == ("buildx", "current")

    def wrong(self, build, registry, tag, files):
        """What is wrong with the result of a build; `files`: name -> size of what it holds. Empty: nothing is."""
        if self.output.startswith("type=image") or "registry" in self.cache_to:
            if missing := registry.missing(f"{'cache' if self.cache_to else 'image'}-{tag}", "latest"):
                return f"the registry has not got {missing}"
        if self.name == "cache to a folder" and not (build.out.with_suffix(".cache") / "index.json").exists():
            return "there is no cache"
        if "type=local" in self.output:
            found = {name: (build.out / name).stat().st_size for name in files if (build.out / name).exists()}
            return "" if found == files else f"{found}, not {files}"
        if not self.once:
            return ""
        with tarfile.open(build.out.with_suffix(f".{self.name}")) as tar:
            found = {m.name: m.size for m in tar.getmembers() if m.isfile()}
        if self.name == "tar":
            return "" if found == files else f"{found}, not {files}"
        whole = "index.json" in found and sum(found.values()) >= sum(files.values())
        return "" if whole else f"only {found}"


_ONE_FILE = "sending tarball"
_IMAGE = "type=image,name={registry}/image-{tag},push=true,compression=uncompressed"
_FOLDER = "type=local,dest={out}"

OUTPUTS = [
    Output("local", _FOLDER, "copying files"),
    Output("tar", "type=tar,dest={out}.tar", _ONE_FILE, once=True),
    Output("oci", "type=oci,dest={out}.oci,compression=uncompressed", _ONE_FILE, once=True),
    Output("docker", "type=docker,name=x,dest={out}.docker,compression=uncompressed", _ONE_FILE, once=True),
    Output("push", _IMAGE, "pushing layers"),
    Output("cache to a folder", _FOLDER, "writing layer",
           cache_to="type=local,dest={out}.cache,compression=uncompressed"),
    Output("cache to a registry", _FOLDER, "writing layer",
           cache_to="type=registry,ref={registry}/cache-{tag},compression=uncompressed"),
]


class Moments:
    """Waits until the one build that begins now gets to a moment."""

    def __init__(self, lb):
        self._lb = lb
        self._before = {direction: self._bytes(direction) for direction in ("received", "sent")}

    def _bytes(self, direction):
        return self._lb.metric("buildkit_lb_bytes_total", direction=direction) or 0

    def _moved(self, direction, share):
        return self._bytes(direction) - self._before[direction] > BIG * share

    def placed(self):
        wait_until(lambda: self._lb.metric("buildkit_lb_worker_active_builds"), "the build to be placed")

    def uploading(self, build):
        _wait_in(build, lambda: self._moved("received", 0.05), "the upload")

    @staticmethod
    def exporting(build, output=OUTPUTS[0]):
        """`build` of export(), whose client has been stopped in the middle of its export: resume() it. On a fast
        machine the export is over before the balancer has counted its bytes."""
        line = re.compile(output.exporting)
        _wait_in(build, lambda: line.search(build.output()), "the export")
        build.pause()


def _wait_in(build, condition, what):
    """Or until `build` has ended, which was too soon."""
    try:
        wait_until(lambda: condition() or not build.running(), what, 120, interval=0.005)
    except Timeout as error:
        raise Timeout(f"{error} of {build.client}\n{build.output()}") from None
