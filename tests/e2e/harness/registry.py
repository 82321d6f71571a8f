"""A real container registry: Debian's docker-registry."""

import json
import signal
import socket
import urllib.error
import urllib.request
from pathlib import Path

from .process import Daemon, accepts_connections, free_port

_CONFIG = """\
version: 0.1
log: {{level: warn}}
storage:
  filesystem: {{rootdirectory: {directory}/files}}
http: {{addr: "127.0.0.1:{port}"}}
"""

_ACCEPTED = ", ".join(f"application/vnd.{kind}+json" for kind in (
    "oci.image.index.v1", "oci.image.manifest.v1", "docker.distribution.manifest.list.v2",
    "docker.distribution.manifest.v2"))


class Registry:
    """Listens on loopback, where buildkitd needs no TLS for it."""

    def __init__(self, directory: Path):
        self.name = "registry"
        self.port = free_port()
        self.host = f"127.0.0.1:{self.port}"
        directory.mkdir(parents=True)
        config = directory / "config.yml"
        config.write_text(_CONFIG.format(directory=directory, port=self.port))
        self._daemon = Daemon(self.name, ["docker-registry", "serve", config], directory / "registry.log")
        self._daemon.wait_ready(lambda: accepts_connections(self.port), "to listen")

    def manifest(self, repository, tag):
        """(digest, manifest or index); raises HTTPError when there is none."""
        request = urllib.request.Request(f"http://{self.host}/v2/{repository}/manifests/{tag}",
                                         headers={"Accept": _ACCEPTED})
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.headers["Docker-Content-Digest"], json.load(answer)

    def missing(self, repository, tag):
        """The digests of what belongs to `tag`, an image, an index or a cache, and is not there or not whole."""
        _, manifest = self.manifest(repository, tag)
        # A cache of older buildkitd is an index of blobs.
        parts = manifest.get("manifests", manifest.get("layers")) + [manifest[k] for k in ("config",) if k in manifest]
        lost = []
        for part in parts:
            kind = "manifests" if part["mediaType"] in _ACCEPTED else "blobs"
            if not self._has(f"{repository}/{kind}/{part['digest']}", part):
                lost.append(part["digest"])
            elif kind == "manifests":
                lost += self.missing(repository, part["digest"])
        return lost

    def _has(self, path, part):
        request = urllib.request.Request(f"http://{self.host}/v2/{path}", method="HEAD",
                                         headers={"Accept": part["mediaType"]})
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return int(answer.headers["Content-Length"]) == part["size"]
        except urllib.error.HTTPError:
            return False

    def pause(self):
        """Connections are taken by the kernel, and nobody answers them."""
        self._daemon.signal(signal.SIGSTOP)

    def resume(self):
        self._daemon.signal(signal.SIGCONT)

    def asked(self):
        """Whether somebody waits for an answer of a paused registry."""
        here = socket.htonl(0x7f000001)
        end = f"{here:08X}:{self.port:04X}"
        lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
        # Bytes that were received and not read by the one that listens here.
        return any(w[1] == end and w[3] == "01" and int(w[4].split(":")[1], 16) > 0 for w in map(str.split, lines))

    def remove(self):
        if self._daemon.running():
            self.resume()
            self._daemon.stop()

    def tail(self):
        return self._daemon.tail()
