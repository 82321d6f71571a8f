"""Passes IP packets between two TUN devices, as a network that can be bad. A program of its own (see network.Link):

    packets.py DESCRIPTOR DESCRIPTOR

Each line of its standard input is a JSON object, answered when it is in force by how many packets were lost and delayed
so far. {"drop": 0.03, "delay": 0.1} loses that share of the packets and delays each of the others by so many seconds, in
both directions, {} ends that; {"reset": true} resets every TCP connection that it has seen, as a firewall that has lost
its state does.
"""

import heapq
import itertools
import json
import os
import random
import selectors
import struct
import sys
import time

_TCP = 6
_FIN, _SYN, _RST = 1, 2, 4
_MOST = 64  # packets that are taken from one side before the other has its turn


def _sum16(data):
    """The Internet checksum's one's complement sum (RFC 1071), inverted."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def reset_packet(source, source_port, target, target_port, sequence):
    """An IPv4 packet with a RST; addresses are four bytes. It is believed when `sequence` is exactly the next one that
    the receiver expects (RFC 5961)."""
    tcp = struct.pack("!HHIIBBHHH", source_port, target_port, sequence, 0, 5 << 4, _RST, 0, 0, 0)
    check = _sum16(source + target + struct.pack("!HH", _TCP, len(tcp)) + tcp)
    tcp = tcp[:16] + struct.pack("!H", check) + tcp[18:]
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0, 64, _TCP, 0) + source + target
    return ip[:10] + struct.pack("!H", _sum16(ip)) + ip[12:] + tcp


class Flows:
    """The TCP connections that packets have told of: for each direction, the number of the next byte."""

    def __init__(self):
        self._next = {}

    def see(self, packet):
        if packet[9] != _TCP:
            return
        tcp = (packet[0] & 15) * 4
        source_port, target_port, sequence = struct.unpack_from("!HHI", packet, tcp)
        flags = packet[tcp + 13]
        flow = (packet[12:16], source_port, packet[16:20], target_port)
        if flags & _RST:
            self._next.pop(flow, None)
            return
        length = len(packet) - tcp - (packet[tcp + 12] >> 4) * 4
        after = (sequence + length + bool(flags & _SYN) + bool(flags & _FIN)) & 0xFFFFFFFF
        known = self._next.get(flow)
        # Retransmissions and keepalives look back.
        if known is None or flags & _SYN or (after - known) & 0xFFFFFFFF < 0x80000000:
            self._next[flow] = after

    def reset_all(self):
        """The packets that reset them all, and forgets them."""
        packets = [reset_packet(*flow, sequence) for flow, sequence in self._next.items()]
        self._next.clear()
        return packets


class Relay:
    def __init__(self, sides):
        self._sides = sides
        self._drop = 0.0
        self._delay = 0.0
        self._late = []  # heap of (when, in which order, to which side, packet)
        self._order = itertools.count()
        self._flows = Flows()
        self.lost = self.delayed = 0
        self._address_of = {}  # of a host -> the side it is on

    def obey(self, command):
        if command.pop("reset", False):
            for packet in self._flows.reset_all():
                self._write(self._address_of[packet[16:20]], packet)
            return
        self._drop, self._delay = command.get("drop", 0.0), command.get("delay", 0.0)

    def take(self, side, other):
        for _ in range(_MOST):
            try:
                packet = os.read(side, 65536)
            except BlockingIOError:
                return
            if packet[0] >> 4 != 4:
                continue
            if random.random() < self._drop:
                self.lost += 1
                continue
            self._address_of[packet[12:16]] = side
            self._flows.see(packet)
            if self._delay:
                self.delayed += 1
                heapq.heappush(self._late, (time.monotonic() + self._delay, next(self._order), other, packet))
            else:
                self._write(other, packet)

    def deliver(self):
        """Passes on what is due; seconds until more is, None when nothing waits."""
        while self._late and self._late[0][0] <= time.monotonic():
            _, _, side, packet = heapq.heappop(self._late)
            self._write(side, packet)
        return max(0.0, self._late[0][0] - time.monotonic()) if self._late else None

    @staticmethod
    def _write(side, packet):
        try:
            os.write(side, packet)
        except OSError:
            pass  # its queue is full, or the device is gone: a packet is lost


def main():
    near, far = (int(arg) for arg in sys.argv[1:])
    relay = Relay((near, far))
    ready = selectors.DefaultSelector()
    for side, other in ((near, far), (far, near)):
        os.set_blocking(side, False)
        ready.register(side, selectors.EVENT_READ, (side, other))
    ready.register(sys.stdin, selectors.EVENT_READ, None)
    while True:
        for key, _ in ready.select(relay.deliver()):
            if key.data:
                relay.take(*key.data)
            elif line := sys.stdin.readline():
                relay.obey(json.loads(line))
                print(json.dumps({"lost": relay.lost, "delayed": relay.delayed}), flush=True)
            else:
                return


if __name__ == "__main__":
    main()
