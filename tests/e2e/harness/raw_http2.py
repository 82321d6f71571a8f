"""HTTP/2 by the frame, for peers that do what no library would: attackers, on a connection and inside a session."""

import select
import socket
import ssl
import time

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, _, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED = 0x1, 0x1, 0x4, 0x8
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

SESSION = "/moby.buildkit.v1.Control/Session"


def frame(kind, flags=0, stream=0, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def number(value):
    return value.to_bytes(4, "big")


def _length(value, prefix=7):
    """An HPACK integer (RFC 7541, 5.1) whose first byte has nothing else in it."""
    most = (1 << prefix) - 1
    if value < most:
        return bytes((value,))
    out = [most]
    value -= most
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    return bytes((*out, value))


def field(name, value, indexed=False):
    """A header field in HPACK, entered in the table or not."""
    name, value = name.encode(), value.encode()
    return (b"\x40" if indexed else b"\0") + _length(len(name)) + name + _length(len(value)) + value


def request_block(path, more=()):
    fields = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "localhost", "te": "trailers",
              "content-type": "application/grpc", **dict(more)}
    return b"".join(field(name, value) for name, value in fields.items())


def request(stream, path, more=(), flags=END_HEADERS):
    return frame(HEADERS, flags, stream, request_block(path, more))


def tunnel_message(data):
    """Bytes of a session's tunnel as a gRPC message of Control/Session."""
    body = b"\x0a" + _varint(len(data)) + data
    return b"\0" + number(len(body)) + body


def _varint(value):
    out = []
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    return bytes((*out, value))


class FrameReader:
    """Cuts a stream of bytes into frames, and knows what a GOAWAY said."""

    def __init__(self, skip=0):
        self._bytes = bytearray()
        self._skip = skip  # a client's preface
        self.goaway = None  # (error code, text)
        self.counts = {}  # type -> frames

    def feed(self, data):
        """The frames that are complete: (type, flags, stream, payload)."""
        self._bytes += data
        if self._skip:
            drop = min(self._skip, len(self._bytes))
            del self._bytes[:drop]
            self._skip -= drop
        frames = []
        at = 0
        while len(self._bytes) - at >= 9:
            end = at + 9 + int.from_bytes(self._bytes[at:at + 3], "big")
            if end > len(self._bytes):
                break
            kind = self._bytes[at + 3]
            payload = bytes(self._bytes[at + 9:end])
            frames.append((kind, self._bytes[at + 4], int.from_bytes(self._bytes[at + 5:at + 9], "big"), payload))
            self.counts[kind] = self.counts.get(kind, 0) + 1
            if kind == GOAWAY and self.goaway is None or kind == GOAWAY and payload[4:8] != b"\0\0\0\0":
                self.goaway = (int.from_bytes(payload[4:8], "big"), payload[8:].decode(errors="replace"))
            at = end
        del self._bytes[:at]
        return frames


class RawConnection:
    """A client's end of a connection. Sends what it is told; reads meanwhile, unless `reads` is false."""

    def __init__(self, port, reads=True, tls=False, settings=b"", sock=None, server=False):
        self.closed = False
        self.reads = reads
        self.reader = FrameReader(len(PREFACE) if server else 0)
        self.windows = {0: 65535}
        self._initial_window = 65535
        self._owed = b""  # acknowledgements, which must not come in the middle of another frame
        self._sending = False
        self._delivering = False
        self.on_frame = lambda kind, flags, stream, payload: None
        if sock is None:
            sock = socket.socket()
            if not reads:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect(("127.0.0.1", port))
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            context.set_alpn_protocols(["h2"])
            sock = context.wrap_socket(sock, server_hostname="localhost")
        self.socket = sock
        sock.setblocking(False)
        self.send((b"" if server else PREFACE) + frame(SETTINGS, payload=settings))

    @property
    def goaway(self):
        return self.reader.goaway

    def send(self, data, timeout=20):
        """False when the other side has closed, or takes nothing for `timeout` seconds. From inside on_frame: sent
        later."""
        # To send is to read, too, and frames are to be looked at in their order.
        if self._sending or self._delivering:
            self._owed += data
            return not self.closed
        self._sending = True
        try:
            return self._send(data, timeout)
        finally:
            self._sending = False

    def _send(self, data, timeout):
        view = memoryview(data)
        deadline = time.monotonic() + timeout
        while view and not self.closed:
            readable, writable, _ = select.select([self.socket] if self.reads else [], [self.socket], [], 0.5)
            if readable:
                self.read()
            if writable and not self.closed:
                try:
                    sent = self.socket.send(view)
                    view = view[sent:]
                    deadline = time.monotonic() + timeout
                except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                    pass
                except OSError:
                    self.closed = True
                    self._drain()
            if not view and self._owed:
                view, self._owed = memoryview(self._owed), b""
            if time.monotonic() > deadline:
                return False
        return not self.closed

    def _drain(self):
        while self.reads and self._read_once():
            pass

    def read(self):
        """Takes what is there."""
        while self._read_once():
            pass
        if self._owed and not self._sending and not self.closed:
            owed, self._owed = self._owed, b""
            self.send(owed)

    def _read_once(self):
        try:
            data = self.socket.recv(65536)
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        except OSError:
            self.closed = True
            return False
        if not data:
            self.closed = True
            return False
        self._delivering = True
        for kind, flags, stream, payload in self.reader.feed(data):
            if kind == SETTINGS and not flags & ACK:
                for at in range(0, len(payload), 6):
                    if payload[at:at + 2] == b"\0\x04":
                        self._initial_window = int.from_bytes(payload[at + 2:at + 6], "big")
                self._owed += frame(SETTINGS, ACK)
            elif kind == WINDOW_UPDATE:
                self.windows[stream] = self.window(stream) + int.from_bytes(payload, "big")
            self.on_frame(kind, flags, stream, payload)
        self._delivering = False
        return True

    def window(self, stream):
        return self.windows.get(stream, self._initial_window)

    def send_data(self, stream, data, timeout=20):
        """As DATA frames, within the windows that the other side gives."""
        deadline = time.monotonic() + timeout
        at = 0
        while at < len(data) and not self.closed and time.monotonic() < deadline:
            room = min(self.window(stream), self.window(0), 16384, len(data) - at)
            if room <= 0:
                self.wait(0.2)
                continue
            self.windows[stream] = self.window(stream) - room
            self.windows[0] -= room
            self.send(frame(DATA, 0, stream, data[at:at + room]))
            at += room
        return at == len(data) and not self.closed

    def wait(self, seconds):
        """Reads for that long, or until something has come."""
        if not self.closed and select.select([self.socket], [], [], seconds)[0]:
            self.read()

    def wait_for(self, condition, timeout=10):
        deadline = time.monotonic() + timeout
        while not condition() and not self.closed and time.monotonic() < deadline:
            self.wait(0.1)
        return bool(condition())

    def wait_closed(self, timeout=15):
        self.reads = True
        return self.wait_for(lambda: self.closed, timeout) or self.closed

    def close(self):
        self.closed = True
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class RawTunnel:
    """One end of a session's tunnel, in a stream of a RawConnection: the build client's, who is the HTTP/2 server in
    there, or (`worker`) the worker's."""

    def __init__(self, connection, stream=1, worker=False, uuid="attackersattackersattacker", answer=b""):
        self.connection = connection
        self.stream = stream
        self.reader = FrameReader(0 if worker else len(PREFACE))
        self.ended = False
        self._bytes = bytearray()
        connection.on_frame = self._on_frame
        if worker:
            connection.send(answer)
            self.send(PREFACE + frame(SETTINGS))
        else:
            connection.send(request(stream, SESSION, {"x-docker-expose-session-uuid": uuid}))
            self.send(frame(SETTINGS))

    @property
    def goaway(self):
        return self.reader.goaway

    @property
    def closed(self):
        return self.ended or self.connection.closed

    def _on_frame(self, kind, flags, stream, payload):
        if stream != self.stream:
            return
        if kind == DATA:
            self.connection.send(frame(WINDOW_UPDATE, 0, 0, number(max(1, len(payload)))) +
                                 frame(WINDOW_UPDATE, 0, stream, number(max(1, len(payload)))))
            self._bytes += payload
            self._unwrap()
        if kind == RST_STREAM or flags & END_STREAM and kind in (DATA, HEADERS):
            self.ended = True

    def _unwrap(self):
        while len(self._bytes) >= 5:
            end = 5 + int.from_bytes(self._bytes[1:5], "big")
            if len(self._bytes) < end:
                return
            message = bytes(self._bytes[5:end])
            del self._bytes[:end]
            at = 1  # the tag of BytesMessage.data
            while at < len(message) and message[at] & 0x80:
                at += 1
            self.reader.feed(message[at + 1:])

    def send(self, data):
        for at in range(0, len(data), 32000):
            if self.closed or not self.connection.send_data(self.stream, tunnel_message(data[at:at + 32000])):
                return False
        return True

    def wait_closed(self, timeout=15):
        return self.connection.wait_for(lambda: self.ended, timeout) or self.closed
