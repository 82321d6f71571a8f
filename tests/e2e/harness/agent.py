"""An ssh agent that has one key to show, and a static program for a build step that lists an agent's keys."""

import base64
import contextlib
import socket
import struct
import subprocess
import threading
from pathlib import Path

_REQUEST_IDENTITIES, _IDENTITIES, _FAILURE = 11, 12, 5

_LIST_KEYS = r"""
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
/* Prints the comment of each key of the agent at $SSH_AUTH_SOCK. */
static unsigned char data[65536];
static unsigned number(const unsigned char *p) { return p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3]; }
static int take(int from, unsigned length)
{
    for (unsigned got = 0; got < length;) {
        ssize_t n = read(from, data + got, length - got);
        if (n <= 0) return 0;
        got += n;
    }
    return 1;
}
int main(void)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    strncpy(to.sun_path, getenv("SSH_AUTH_SOCK"), sizeof to.sun_path - 1);
    int agent = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(agent, (struct sockaddr *)&to, sizeof to) != 0) return perror("connect"), 1;
    if (write(agent, "\0\0\0\1\13", 5) != 5 || !take(agent, 4)) return 2;
    unsigned length = number(data);
    if (length > sizeof data || !take(agent, length) || data[0] != 12) return 3;
    const unsigned char *p = data + 5;
    for (unsigned keys = number(data + 1); keys > 0; --keys) {
        p += 4 + number(p);
        printf("%.*s\n", (int)number(p), p + 4);
        p += 4 + number(p);
    }
    return 0;
}
"""


def compile_list_keys(program: Path):
    subprocess.run(["gcc", "-static", "-O1", "-x", "c", "-", "-o", program], input=_LIST_KEYS, text=True, check=True)


@contextlib.contextmanager
def ssh_agent(path: Path, comment):
    """An agent on the unix socket `path` whose one key has `comment`."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        threading.Thread(target=_accept, args=(listener, comment), daemon=True).start()
        yield path
        listener.shutdown(socket.SHUT_RDWR)


def _accept(listener, comment):
    with contextlib.suppress(OSError):
        while True:
            threading.Thread(target=_serve, args=(listener.accept()[0], comment), daemon=True).start()


def _serve(client, comment):
    kind = b"ssh-ed25519"
    blob = _string(kind) + _string(base64.b64decode("A" * 43 + "="))
    identities = struct.pack(">BI", _IDENTITIES, 1) + _string(blob) + _string(comment.encode())
    with client, client.makefile("rwb") as stream:
        while header := stream.read(4):
            request = stream.read(struct.unpack(">I", header)[0])
            stream.write(_string(identities if request[0] == _REQUEST_IDENTITIES else bytes([_FAILURE])))
            stream.flush()


def _string(data):
    return struct.pack(">I", len(data)) + data
