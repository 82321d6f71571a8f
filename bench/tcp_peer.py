"""Both ends of a plain TCP transfer. As a program: the far end, `tcp_peer.py PORT [hold]`.

A connection begins with a line, "down BYTES" or "up BYTES". Down: so many bytes come and the connection ends. Up: so
many bytes are taken and then one byte comes. With `hold`, connections are accepted, kept and never looked at."""

import socket
import sys
import threading
import time

_CHUNK = 256 * 1024


def transfer(port, direction, size, timeout):
    """Seconds that `size` bytes took through 127.0.0.1:port; raises OSError when they don't come through in time."""
    deadline = time.monotonic() + timeout
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(5)
        started = time.monotonic()
        connection.sendall(f"{direction} {size}\n".encode())
        if direction == "up":
            _send(connection, size, deadline)
            if connection.recv(1) != b"!":
                raise OSError("the far end did not get everything")
        elif _receive(connection, size, deadline) != size:
            raise OSError("the transfer ended early")
        return time.monotonic() - started


def _send(connection, size, deadline):
    data = memoryview(bytes(_CHUNK))
    while size > 0:
        connection.sendall(data[:size])
        size -= min(size, _CHUNK)
        if time.monotonic() > deadline:
            raise TimeoutError("the transfer takes too long")


def _receive(connection, size, deadline):
    """Bytes received: `size`, or fewer when the connection ended before."""
    buffer = bytearray(_CHUNK)
    received = 0
    while received < size:
        got = connection.recv_into(buffer)
        if got == 0:
            break
        received += got
        if time.monotonic() > deadline:
            raise TimeoutError("the transfer takes too long")
    return received


def _serve(connection):
    with connection:
        line = bytearray()
        while not line.endswith(b"\n"):
            byte = connection.recv(1)
            if not byte:
                return  # somebody asked whether we listen
            line += byte
        direction, size = line.split()
        deadline = time.monotonic() + 300
        if direction == b"down":
            _send(connection, int(size), deadline)
        elif _receive(connection, int(size), deadline) == int(size):
            connection.sendall(b"!")


def _serve_quietly(connection):
    try:
        _serve(connection)
    except OSError:
        pass  # the near end reports it


def main():
    hold = sys.argv[2:] == ["hold"]
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=4096)
    held = []
    while True:
        connection, _ = listener.accept()
        if hold:
            held.append(connection)
        else:
            threading.Thread(target=_serve_quietly, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main()
