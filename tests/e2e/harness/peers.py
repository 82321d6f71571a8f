"""What people put in front of their workers today, with the settings they use, for comparisons side by side."""

import signal
from pathlib import Path

from .process import Daemon, accepts_connections, free_port, wait_until

_NGINX_STREAM = """\
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
worker_processes {threads};
pid {directory}/nginx.pid;
error_log stderr notice;
events {{ worker_connections 16384; }}
stream {{
    upstream buildkit {{
        {method}
{servers}
    }}
    server {{
        listen 127.0.0.1:{port};
        proxy_pass buildkit;
        proxy_timeout 3600s;
        proxy_connect_timeout 10s;
        {more}
    }}
}}
"""

_NGINX_GRPC = """\
daemon off;
worker_processes {threads};
pid {directory}/nginx.pid;
error_log stderr notice;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    upstream buildkit {{
{servers}
    }}
    server {{
        listen 127.0.0.1:{port} http2;
        client_max_body_size 0;
        grpc_read_timeout 3600s;
        grpc_send_timeout 3600s;
        location / {{ grpc_pass grpc://buildkit; }}
    }}
}}
"""

_HAPROXY_TCP = """\
global
    nbthread {threads}
    maxconn 9000
defaults
    mode tcp
    timeout connect 10s
    timeout client 3600s
    timeout server 3600s
listen buildkit
    bind 127.0.0.1:{port} {bind}
    balance roundrobin
{servers}
"""

_HAPROXY_H2 = """\
global
    nbthread {threads}
    maxconn 9000
defaults
    mode http
    timeout connect 10s
    timeout client 3600s
    timeout server 3600s
listen buildkit
    bind 127.0.0.1:{port} {bind}
    balance roundrobin
{servers}
"""


class Peer:
    """A running nginx or HAProxy in front of `workers`."""

    def __init__(self, directory: Path, name, argv, port=None):
        self.directory = directory
        self.name = name
        self.port = port or free_port()
        self.address = f"tcp://127.0.0.1:{self.port}"
        self._argv = argv
        self._daemon = None
        self.on_set_workers = None
        directory.mkdir(parents=True, exist_ok=True)

    def set_workers(self, workers):
        """From now on `workers` are behind it; returns when new connections go to them (nginx only)."""
        self.on_set_workers(workers)
        before = _children(self.pid)
        self._daemon.signal(signal.SIGHUP)
        wait_until(lambda: _children(self.pid) - before, "nginx to have a new process", 10)

    def start(self):
        self._daemon = Daemon(self.name, self._argv, self.directory / f"{self.name}.log")
        self._daemon.wait_ready(lambda: accepts_connections(self.port), "to accept connections")
        return self

    @property
    def pid(self):
        return self._daemon.pid

    def remove(self):
        if self._daemon:
            self._daemon.stop(timeout=5)

    def tail(self):
        return self._daemon.tail() if self._daemon else ""


def _children(pid):
    return set(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


def nginx_stream(directory: Path, workers, threads=1, method="", more=""):
    """The classic: an nginx `stream` block, round robin unless `method` says how servers are chosen. `more` is added to
    its `server`."""
    return _nginx(directory, _NGINX_STREAM, workers, threads, method=method, more=more)


def nginx_grpc(directory: Path, workers, threads=1):
    """nginx `grpc_pass`, round robin over calls."""
    return _nginx(directory, _NGINX_GRPC, workers, threads)


def _nginx(directory: Path, template, workers, threads, **more):
    config = directory / "nginx.conf"
    peer = Peer(directory, "nginx", ["/usr/sbin/nginx", "-c", config, "-p", directory])

    def set_workers(those):
        servers = "\n".join(f"        server 127.0.0.1:{w.port};" for w in those)
        config.write_text(template.format(threads=threads, directory=directory, port=peer.port, servers=servers,
                                          **more))

    set_workers(workers)
    peer.start()
    peer.on_set_workers = set_workers
    return peer


def haproxy_tcp(directory: Path, workers, threads=1, bind="", server=""):
    """`bind` and `server` are added to the lines of that name."""
    return _haproxy(directory, _HAPROXY_TCP, workers, threads, bind, server)


def haproxy_h2(directory: Path, workers, threads=1):
    """HAProxy that reads HTTP/2, round robin over calls."""
    return _haproxy(directory, _HAPROXY_H2, workers, threads, "proto h2", "proto h2")


def _haproxy(directory: Path, template, workers, threads, bind, server):
    config = directory / "haproxy.cfg"
    peer = Peer(directory, "haproxy", ["/usr/sbin/haproxy", "-db", "-f", config])
    servers = "\n".join(f"    server w{w.port} 127.0.0.1:{w.port} {server}" for w in workers)
    config.write_text(template.format(threads=threads, port=peer.port, servers=servers, bind=bind))
    return peer.start()


def nghttpx(directory: Path, workers, threads=1):
    """nghttpx in front of HTTP/2 workers."""
    port = free_port()
    backends = [f"--backend=127.0.0.1,{w.port};;proto=h2" for w in workers]
    return Peer(directory, "nghttpx", ["/usr/sbin/nghttpx", "--conf=/dev/null", f"--workers={threads}",
                                       f"--frontend=127.0.0.1,{port};no-tls", *backends, "--no-location-rewrite",
                                       "--frontend-http2-read-timeout=3600", "--backend-read-timeout=3600",
                                       "--stream-read-timeout=3600", f"--pid-file={directory / 'nghttpx.pid'}"],
                port).start()
