"""TLS handshakes as clients make them: one after the other, and a thousand at once while another connection is timed.

`tls_load.py PORT` is that other connection, in a process of its own: HTTP/2 PINGs in the clear until SIGTERM; then it
prints the longest and the median time of their answers, in milliseconds."""

import selectors
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import time

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"  # and an empty SETTINGS frame
_SETTINGS_ACK = b"\0\0\0\4\1\0\0\0\0"
_PING = b"\0\0\x08\6\0\0\0\0\0" + b"12345678"
_PONG_START = b"\0\0\x08\6\1\0\0\0\0"


def client_context(identity=None):
    """Trusts anybody: what the client checks is not measured. `identity`: its own certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    if identity:
        context.load_cert_chain(identity.cert, identity.key)
    return context


def _connect(port, context, session=None):
    """One connection up to the server's first bytes of HTTP/2, which come after its session tickets."""
    raw = socket.create_connection(("127.0.0.1", port), timeout=10)
    secured = context.wrap_socket(raw, session=session)
    secured.sendall(_PREFACE)
    if not secured.recv(9):
        raise OSError("closed after the handshake")
    return secured


def handshakes(port, context, count, resume=False):
    """Seconds that `count` connections take, one after the other; `resume`: with the session of one before."""
    session = None
    if resume:
        with _connect(port, context) as first:
            session = first.session
    begun = time.monotonic()
    for _ in range(count):
        with _connect(port, context, session) as secured:
            if resume and not secured.session_reused:
                raise OSError("the session is not resumed")
    return time.monotonic() - begun


class _Client:
    """A connection whose handshake is made step by step, without waiting."""

    def __init__(self, context):
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing)
        self.socket = socket.socket()
        self.done = False

    def step(self):
        try:
            self.tls.do_handshake()
            self.done = True
        except ssl.SSLWantReadError:
            pass
        if data := self.outgoing.read():
            self.socket.sendall(data)


def storm(port, context, count, timeout=60):
    """Seconds that `count` clients take who connect and send their hello at once."""
    clients = [_Client(context) for _ in range(count)]
    waiting = selectors.DefaultSelector()
    begun = time.monotonic()
    try:
        for client in clients:
            client.socket.settimeout(10)
            client.socket.connect(("127.0.0.1", port))
            client.step()
            waiting.register(client.socket, selectors.EVENT_READ, client)
        left = count
        while left:
            if time.monotonic() - begun > timeout:
                raise OSError(f"{left} of {count} handshakes are not done after {timeout} s")
            for key, _ in waiting.select(timeout=1):
                client = key.data
                data = client.socket.recv(65536)
                if not data:
                    raise OSError("a connection of the storm was closed")
                client.incoming.write(data)
                client.step()
                if client.done:
                    waiting.unregister(client.socket)
                    left -= 1
        return time.monotonic() - begun
    finally:
        waiting.close()
        for client in clients:
            client.socket.close()


def _answer(connection, received):
    while _PONG_START not in received:
        data = connection.recv(4096)
        if not data:
            raise OSError("the timed connection was closed")
        received += data
    return received[received.index(_PONG_START) + len(_PING) :]


def time_pings(port, times):
    """Adds to `times` the milliseconds that PINGs on one connection in the clear take, one every 5 ms, until it is
    interrupted."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(_PREFACE + _SETTINGS_ACK)
        received = b""
        print("ready", flush=True)
        while True:
            begun = time.monotonic()
            connection.sendall(_PING)
            received = _answer(connection, received)
            times.append((time.monotonic() - begun) * 1000)
            time.sleep(0.005)


def storm_with_timing(clear_port, tls_port, context, count):
    """Seconds of the storm; milliseconds of the other connection's slowest answer and of its median one, meanwhile."""
    with subprocess.Popen([sys.executable, __file__, str(clear_port)], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as timer:
        try:
            if timer.stdout.readline() != "ready\n":
                raise OSError("the timed connection could not be made")
            time.sleep(0.3)
            seconds = storm(tls_port, context, count)
        finally:
            timer.terminate()
        slowest, middle = timer.stdout.readline().split()
    return seconds, float(slowest), float(middle)


def main():
    def stop(*_):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    times = []
    try:
        time_pings(int(sys.argv[1]), times)
    except KeyboardInterrupt:
        print(max(times), statistics.median(times), flush=True)


if __name__ == "__main__":
    main()
