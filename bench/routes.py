"""What is measured: workers' stand-ins, and the proxies in front of them, each with one thread that moves data."""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests/e2e"))

from harness.authority import Identity  # noqa: E402
from harness.balancer import Balancer, pool  # noqa: E402
from harness.peers import Peer, haproxy_tcp, nginx_stream  # noqa: E402
from harness.process import Daemon, accepts_connections, free_port  # noqa: E402

OURS = "buildkit-lb"
BACKENDS = 3
# HTTP/2 windows of a stream, where a peer lets us choose: the usual 64 KiB would slow uploads down.
WINDOW = 1 << 20

_HAPROXY_HTTP2 = """\
global
    nbthread 1
    maxconn 8192
    tune.h2.initial-window-size {window}
    tune.h2.max-concurrent-streams 1000
defaults
    mode http
    timeout connect 10s
    timeout client 3600s
    timeout server 3600s
listen buildkit
    bind 127.0.0.1:{port} proto h2
{tls}
    balance roundrobin
{servers}
"""

_NGINX_GRPC = """\
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    upstream buildkit {{
{servers}
        keepalive 256;
        keepalive_requests 100000000;
    }}
    server {{
        listen 127.0.0.1:{port} http2;
{tls}
        client_max_body_size 0;
        client_header_timeout 3600s;
        http2_body_preread_size {window};
        http2_max_concurrent_streams 1000;
        keepalive_requests 100000000;
        keepalive_timeout 3600s;
        location / {{
            grpc_pass grpc://buildkit;
            grpc_read_timeout 3600s;
            grpc_send_timeout 3600s;
        }}
    }}
}}
"""


@dataclass
class Backend:
    """Stands for a worker."""

    name: str
    port: int
    daemon: Daemon

    @property
    def address(self):
        return f"tcp://127.0.0.1:{self.port}"

    def remove(self):
        self.daemon.kill()


@dataclass
class Tls:
    """What the proxies show to TLS clients, and whether those have to show something too."""

    identity: Identity
    wants_clients: bool
    bundle: Path  # certificate and key in one file, as HAProxy wants them


class Route:
    """One way to the backends: a proxy, or none at all (`pid` is None). `tls_port`: where it takes TLS, if it does."""

    def __init__(self, name, proxy=None, port=None, tls_port=None):
        self.name = name
        self.tls_port = tls_port
        self._proxy = proxy
        self.port = port or proxy.port
        self.pid = proxy.pid if proxy else None

    def remove(self):
        if self._proxy:
            self._proxy.remove()


def missing_programs():
    """Programs that are not installed."""
    needed = ("h2load", "nghttpd", "nghttpx", "/usr/sbin/nginx", "/usr/sbin/haproxy", "setpriv")
    return [program for program in needed if shutil.which(program) is None]


def _backends(directory, command):
    directory.mkdir(parents=True, exist_ok=True)
    made = []
    for i in range(1, BACKENDS + 1):
        port = free_port()
        daemon = Daemon(f"backend {i}", command(port), directory / f"backend-{i}.log")
        daemon.wait_ready(lambda port=port: accepts_connections(port), "to listen")
        made.append(Backend(f"w{i}", port, daemon))
    return made


def tcp_backends(directory: Path, hold=False):
    mode = ["hold"] if hold else []
    return _backends(directory, lambda port: [sys.executable, HERE / "tcp_peer.py", port, *mode])


def http2_backends(directory: Path, documents: Path):
    # Windows as of a gRPC server whose bandwidth estimate has settled; nghttpd's own default is 64 KiB.
    return _backends(directory, lambda port: ["nghttpd", "--no-tls", "-a", "127.0.0.1", "-m", "1000", "-w", "20", "-W",
                                              "24", "-d", documents, port])


def _ours(directory, backends, protocol, tls=None):
    # Health checks as by default, so that they do not fill the measurement of an idle proxy.
    check = {"type": "tcp", "interval": "5s", "timeout": "2s", "unhealthy_after": 3, "healthy_after": 1}
    balancer = Balancer(directory, [pool(backends, health_check=check)], protocol=protocol, threads=1)
    tls_port = free_port() if tls else None
    if tls:
        section = {"cert": str(tls.identity.cert), "key": str(tls.identity.key)}
        if tls.wants_clients:
            section["client_ca"] = str(tls.identity.ca)
        balancer.config["listeners"].append({"name": "tls", "address": f"tcp://127.0.0.1:{tls_port}",
                                             "protocol": protocol, "pool": "default", "tls": section})
    return Route(OURS, balancer.start(), tls_port=tls_port)


def _haproxy_http2(directory, backends, tls=None):
    config = directory / "haproxy.cfg"
    peer = Peer(directory, "haproxy", ["/usr/sbin/haproxy", "-db", "-f", config])
    servers = "\n".join(f"    server {b.name} 127.0.0.1:{b.port} proto h2" for b in backends)
    tls_port, line = None, ""
    if tls:
        tls_port = free_port()
        line = f"    bind 127.0.0.1:{tls_port} ssl crt {tls.bundle} alpn h2 ssl-min-ver TLSv1.2"
        line += f" ca-file {tls.identity.ca} verify required" if tls.wants_clients else ""
    config.write_text(_HAPROXY_HTTP2.format(port=peer.port, servers=servers, window=WINDOW, tls=line))
    return Route("HAProxy HTTP/2", peer.start(), tls_port=tls_port)


def _nginx_grpc(directory, backends, tls=None):
    config = directory / "nginx.conf"
    peer = Peer(directory, "nginx", ["/usr/sbin/nginx", "-c", config, "-p", directory])
    servers = "\n".join(f"        server 127.0.0.1:{b.port};" for b in backends)
    tls_port, lines = None, ""
    if tls:
        tls_port = free_port()
        # With tickets, as the others have; the cache is nginx's own way to resume within one process.
        lines = (f"        listen 127.0.0.1:{tls_port} ssl http2;\n        ssl_certificate {tls.identity.cert};\n"
                 f"        ssl_certificate_key {tls.identity.key};\n        ssl_protocols TLSv1.2 TLSv1.3;")
        if tls.wants_clients:
            lines += f"\n        ssl_client_certificate {tls.identity.ca};\n        ssl_verify_client on;"
    config.write_text(_NGINX_GRPC.format(directory=directory, port=peer.port, servers=servers, window=WINDOW, tls=lines))
    return Route("nginx grpc_pass", peer.start(), tls_port=tls_port)


def _nghttpx(directory, backends):
    config = directory / "nghttpx.conf"
    peer = Peer(directory, "nghttpx", ["nghttpx", f"--conf={config}"])
    lines = [f"frontend=127.0.0.1,{peer.port};no-tls", "workers=1", "no-via=yes", "frontend-http2-read-timeout=1h",
             "frontend-http2-max-concurrent-streams=1000", f"frontend-http2-window-size={WINDOW}",
             f"frontend-http2-connection-window-size={16 * WINDOW}", f"backend-http2-window-size={WINDOW}"]
    lines += [f"backend=127.0.0.1,{b.port};/;proto=h2" for b in backends]
    config.write_text("\n".join(lines) + "\n")
    return peer.start()


def tcp_routes(directory: Path, backends):
    return [
        _ours(directory / "ours", backends, "tcp"),
        Route("nginx stream", nginx_stream(directory / "nginx", backends)),
        Route("HAProxy tcp", haproxy_tcp(directory / "haproxy", backends)),
    ]


def http2_routes(directory: Path, backends):
    return [
        _ours(directory / "ours", backends, "buildkit"),
        _haproxy_http2(directory / "haproxy", backends),
        Route("nghttpx", _nghttpx(directory / "nghttpx", backends)),
        _nginx_grpc(directory / "nginx", backends),
    ]


def tls_routes(directory: Path, backends, tls):
    return [
        _ours(directory / "ours", backends, "buildkit", tls),
        _haproxy_http2(directory / "haproxy", backends, tls),
        _nginx_grpc(directory / "nginx", backends, tls),
    ]


def direct(backends):
    return Route("direct", port=backends[0].port)
