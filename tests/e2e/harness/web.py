"""A web server on loopback that has git repositories and tarballs, as contexts that are URLs."""

import base64
import os
import subprocess
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Web:
    """Serves the files below `directory`, and git repositories there to `git clone` (never to push). With `user` and
    `password` it wants them; `asked` are the paths that were asked for by somebody who had them."""

    def __init__(self, directory: Path, user="", password=""):
        self.directory = directory
        self.asked = []
        wanted = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode() if user else ""
        web = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                web._answer(self, wanted)

            do_POST = do_GET
            do_HEAD = do_GET

            def log_message(self, *_):
                pass

        directory.mkdir(parents=True, exist_ok=True)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.host = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def add_repository(self, name, source: Path):
        """The repository `name` with the files of `source` as the one commit of its branch main."""
        bare = self.directory / name
        git("init", "--quiet", "--bare", "--initial-branch=main", bare)
        # As BuildKit asks: one commit by its hash.
        git("--git-dir", bare, "config", "uploadpack.allowAnySHA1InWant", "true")
        commit_all(source, f"file://{bare}")
        git("-C", source, "push", "--quiet", "origin", "main")

    def add_tarball(self, name, source: Path):
        with tarfile.open(self.directory / name, "w", format=tarfile.GNU_FORMAT) as tar:
            tar.add(source, ".")

    def _answer(self, request, wanted):
        length = int(request.headers.get("Content-Length") or 0)
        body = request.rfile.read(length)
        if request.headers.get("Transfer-Encoding") == "chunked":
            body = _read_chunks(request.rfile)
        if wanted and request.headers.get("Authorization") != wanted:
            return _send(request, 401, b"", [("WWW-Authenticate", 'Basic realm="tests"')])
        self.asked.append(request.path)
        path, _, query = request.path.partition("?")
        file = self.directory / path.strip("/")
        if file.is_file():
            return _send(request, 200, file.read_bytes(), [])
        return _send(request, *_git_backend(self.directory, request, path, query, body))


def commit_all(source: Path, origin):
    """Makes `source` a checkout of the repository `origin`: branch main, one commit."""
    git("init", "--quiet", "--initial-branch=main", source)
    git("-C", source, "remote", "add", "origin", origin)
    git("-C", source, "add", "--all")
    git("-C", source, "-c", "user.name=test", "-c", "user.email=test@example.test", "commit", "--quiet", "-m", "All")


def git(*args):
    subprocess.run(["git", *map(str, args)], check=True, capture_output=True, timeout=60,
                   env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull})


def _git_backend(root, request, path, query, body):
    """(status, body, headers) of git's own CGI program."""
    done = subprocess.run(["git", "http-backend"], input=body, capture_output=True, timeout=60, check=False, env={
        **os.environ, "GIT_PROJECT_ROOT": str(root), "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path,
        "QUERY_STRING": query, "REQUEST_METHOD": request.command, "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_TYPE": request.headers.get("Content-Type", ""),
        "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
        "GIT_PROTOCOL": request.headers.get("Git-Protocol", "")})
    head, _, answer = done.stdout.partition(b"\r\n\r\n")
    headers = [tuple(line.split(": ", 1)) for line in head.decode().splitlines() if ": " in line]
    status = next((int(value.split()[0]) for name, value in headers if name == "Status"), 200 if headers else 500)
    return status, answer, [(name, value) for name, value in headers if name != "Status"]


def _send(request, status, body, headers):
    request.send_response(status)
    for name, value in [*headers, ("Content-Length", str(len(body)))]:
        request.send_header(name, value)
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(body)


def _read_chunks(stream):
    body = b""
    while size := int(stream.readline().split(b";")[0], 16):
        body += stream.read(size)
        stream.readline()
    stream.readline()
    return body
