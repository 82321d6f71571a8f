"""Everything one test, or the demo, has started."""

from pathlib import Path

from . import peers
from .balancer import Balancer
from .clients import CLIENTS, VERSIONS
from .manybuilds import ManyBuilds
from .registry import Registry
from .worker import Worker


class Stack:
    """Makes workers, balancers, clients and peers below `directory`, and takes them down, last first."""

    def __init__(self, directory: Path, outlive=False):
        self.directory = directory
        self._outlive = outlive
        self._owned = []
        self._clients = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def workers(self, *versions, names=None, start=True, **settings):
        """One worker per version named, called w1, w2, … (or `names`), all answering unless `start` is false."""
        names = names or [f"w{i + 1}" for i in range(len(versions))]
        made = []
        for name, version in zip(names, versions):
            worker = Worker(name, self.directory / name, version, outlive=self._outlive, **settings)
            self._owned.append(worker)
            made.append(worker)
            if start:
                worker.launch()
        for worker in made if start else ():
            worker.wait_ready()
        return made

    def balancer(self, pools, start=True, **settings):
        name = f"lb{sum(isinstance(o, Balancer) for o in self._owned) or ''}"
        made = Balancer(self.directory / name, pools, outlive=self._outlive, **settings)
        self._owned.append(made)
        return made.start() if start else made

    def registry(self):
        self._owned.append(Registry(self.directory / "registry"))
        return self._owned[-1]

    def nginx_stream(self, workers, **how):
        self._owned.append(peers.nginx_stream(self.directory / "nginx", workers, **how))
        return self._owned[-1]

    def nginx_grpc(self, workers):
        self._owned.append(peers.nginx_grpc(self.directory / "nginx-grpc", workers))
        return self._owned[-1]

    def haproxy_tcp(self, workers, **how):
        self._owned.append(peers.haproxy_tcp(self.directory / "haproxy", workers, **how))
        return self._owned[-1]

    def client(self, program="buildctl", version="current"):
        self._clients += 1
        made = {**CLIENTS, "manybuilds": ManyBuilds}[program]
        self._owned.append(made(self.directory / f"client{self._clients}", version))
        return self._owned[-1]

    def every_client(self, front):
        """One of each program and version, ready to build through `front`, a balancer or a peer: their builders are
        made, which builds that begin at the same moment would all try."""
        made = [self.client(program, version) for program, version in VERSIONS]
        for client in made:
            if client.program == "buildx":
                client.builder(front.address)
        return made

    def logs(self):
        """(name, last lines of its log) of all that runs."""
        for owned in self._owned:
            if text := owned.tail():
                yield getattr(owned, "name", "buildkit-lb"), text

    def close(self):
        while self._owned:
            self._owned.pop().remove()


def where(build, workers):
    """The workers that ran `build`, by their own histories."""
    assert build.ref, f"{build.client} did not tell the ref of build {build.name}:\n{build.output}"
    return [w for w in workers if w.running() and build.ref in w.history()]
