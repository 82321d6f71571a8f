"""Memory that idle connections cost a proxy."""

import resource
import socket

import measure
import routes
from harness.process import wait_until

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"  # and an empty SETTINGS frame
_SETTINGS_ACK = b"\0\0\0\4\1\0\0\0\0"


def allow_many_files():
    """Each connection takes two descriptors of a proxy, which inherits our limit."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


def _open(port, http2):
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    if http2:
        connection.sendall(_PREFACE)
    return connection


def _per_connection(route, count, http2):
    """Bytes of resident memory, or a reason why it can't be told."""
    before_files = measure.open_files(route.pid)
    before = measure.settled(lambda: measure.resident_bytes(route.pid))
    connections = []
    try:
        for _ in range(count):
            connections.append(_open(route.port, http2))
        wanted = before_files + count * (1 if http2 else 2)
        wait_until(lambda: measure.open_files(route.pid) >= wanted, f"{route.name} to hold {count} connections", 20)
        if http2:
            for connection in connections:
                if not connection.recv(4096):
                    return "closed at once"
                connection.sendall(_SETTINGS_ACK)
        return (measure.settled(lambda: measure.resident_bytes(route.pid)) - before) / count
    except (OSError, AssertionError) as error:
        return str(error).splitlines()[0]
    finally:
        for connection in connections:
            connection.close()


def run(directory, count):
    """Rows of (name, bytes or reason). Proxies are started anew: used ones have memory to spare."""
    rows = []
    backends = routes.tcp_backends(directory / "backends", hold=True)
    tried = [(route, False) for route in routes.tcp_routes(directory / "tcp", backends)]
    tried += [(route, True) for route in routes.http2_routes(directory / "http2", backends)]
    try:
        for route, http2 in tried:
            kind = ("buildkit" if http2 else "tcp") if route.name == routes.OURS else ""
            rows.append((f"{route.name} {kind}".strip(), _per_connection(route, count, http2)))
    finally:
        for route, _ in tried:
            route.remove()
        for backend in backends:
            backend.remove()
    return rows
