"""Thousands of connections at once, held by processes of their own: one may have only so many descriptors."""

import subprocess
import sys

# Opens COUNT connections to PORT, sends each the bytes of its standard input's first line (in hex), says `open`, waits
# for the others to close them, and says how many did within the time of the second line.
_PROGRAM = """
import select, socket, sys, time
port, count = int(sys.argv[1]), int(sys.argv[2])
sent = bytes.fromhex(sys.stdin.readline())
waiting = select.epoll()
held = {}
for _ in range(count):
    one = socket.create_connection(("127.0.0.1", port), timeout=60)
    if sent:
        one.sendall(sent)
    held[one.fileno()] = one
    waiting.register(one, select.EPOLLIN)
print("open", flush=True)
deadline = time.monotonic() + float(sys.stdin.readline() or 0)
closed = 0
while held and time.monotonic() < deadline:
    for fd, _ in waiting.poll(0.2):
        try:
            over = not held[fd].recv(65536)
        except ConnectionError:
            over = True
        if over:
            closed += 1
            waiting.unregister(fd)
            held.pop(fd).close()
print(closed, flush=True)
"""


class Crowd:
    """`count` connections to `port`, each of which has sent `sent` and says nothing more. As a context: they are open."""

    def __init__(self, port, count, sent=b"", processes=2):
        self._processes = [
            subprocess.Popen([sys.executable, "-c", _PROGRAM, str(port), str(count // processes)],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(processes)
        ]
        for one in self._processes:
            one.stdin.write(sent.hex() + "\n")
            one.stdin.flush()

    def __enter__(self):
        for one in self._processes:
            assert one.stdout.readline() == "open\n", "connections could not be opened"
        return self

    def count_closed(self, seconds):
        """How many the other side has closed, at most `seconds` from now."""
        for one in self._processes:
            one.stdin.write(f"{seconds}\n")
            one.stdin.flush()
        return sum(int(one.stdout.readline()) for one in self._processes)

    def leave(self):
        """Closes them all."""
        for one in self._processes:
            one.kill()
            one.wait()
            one.stdin.close()
            one.stdout.close()

    def __exit__(self, *_):
        self.leave()
