#!/usr/bin/env python3
"""Writes the seeds of the fuzz targets into tests/fuzz/corpus/TARGET/: small inputs that are meaningful, as BuildKit's
programs send them, and the openings of attacks. Run it after changing it; what it writes is committed. Files whose names
begin with `found-` are findings of the fuzzer and are left alone.

The scripts of the HTTP/2 targets are described in support/http2_frames.hpp and http2_script.hpp.
"""

import gzip
import pathlib
import struct
import subprocess
import tempfile

CORPUS = pathlib.Path(__file__).resolve().parent / "corpus"


def save(target, name, content):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


# ---- Protobuf ----


def varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number, value):
    """One field: bytes, text or a number."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, str):
        value = value.encode()
    return varint(number << 3 | 2) + varint(len(value)) + value


def message(*fields):
    return b"".join(field(number, value) for number, value in fields)


def entry(key, value):
    return message((1, key), (2, value))


SESSION = "x8qfpx6xuu4xj14bzwbozd864"
OTHER_SESSION = "kd0ue2m5k0w9tq1r3w7yv5abc"


def source_op(identifier, **attrs):
    source = message((1, identifier), *[(2, entry(k.replace("_", "."), v)) for k, v in attrs.items()])
    return message((3, source))


def definition(*ops):
    return message(*[(1, op) for op in ops])


def solve_seeds():
    buildx = message(
        (1, "vq4ixx6l9aqr8okq6ht0ze5oc"),
        (5, SESSION),
        (7, entry("vcs:source", "https://robot:token@example.test/team/app.git")),
        (7, entry("vcs:revision", "0123456789abcdef0123456789abcdef01234567")),
        (7, entry("filename", "Dockerfile")),
        (7, entry("platform", "linux/amd64")),
        (7, entry("build-arg:VERSION", "1")),
        (7, entry("local-sessionid:context", OTHER_SESSION)),
        (13, message((1, "image"))),
    )
    internal = message((1, "internal-ref"), (5, "ctx:" + SESSION), (11, 1))
    old = message((1, "old-ref"), (3, "docker"), (5, SESSION), (6, "dockerfile.v0"))
    nested = definition(message((5, message((3, definition(source_op("local://src", local_session=SESSION)))))))
    buildctl = message((1, "llb-ref"), (2, nested), (15, SESSION), (10, entry("in", definition(source_op("git://h/r")))))
    linked = message((1, "child"), (7, entry("context:base", "input:base")), (5, SESSION))
    for name, m in {"buildx": buildx, "internal": internal, "old": old, "buildctl": buildctl, "linked": linked}.items():
        save("solve", name, b"\0" + m)
    bridge = message(
        (1, definition(source_op("git://example.test/team/app.git"), source_op("local://c", local_session=SESSION))),
        (2, "dockerfile.v0"),
        (3, entry("context", "https://u:p@example.test/app.tar")),
        (13, entry("base", definition(source_op("oci-layout://x", oci_session=OTHER_SESSION)))),
    )
    save("solve", "bridge", b"\1" + bridge)
    save("solve", "status-ref", b"\2" + message((1, "vq4ixx6l9aqr8okq6ht0ze5oc")))
    save("solve", "history-ref", b"\2" + message((2, "vq4ixx6l9aqr8okq6ht0ze5oc"), (3, 1)))
    span = message((1, bytes(range(16))), (2, b"12345678"))
    save("solve", "trace", b"\2" + message((1, message((2, message((2, span)))))))
    save("solve", "scan", b"\3" + bridge + b"sha256:" + b"0123456789abcdef" * 4 + b" x1234567 ")


def status_seeds():
    started = message((1, 1_700_000_000), (2, 5))

    def vertex(digest, *more):
        return (1, message((1, "sha256:" + digest), (3, "[1/2] RUN make"), *more))

    first = message(vertex("aa", (5, started)), vertex("bb", (4, 1), (5, started), (6, started)))
    log = message((3, message((1, "sha256:aa"), (2, started), (3, 1), (4, b"hello\n"))))
    warning = message((4, message((1, "sha256:aa"), (2, 1), (3, b"careful"))))
    last = message(vertex("aa", (5, started), (6, started), (7, "exit code: 1")))
    parts = [first, log, warning, last]
    stream = b"".join(struct.pack(">H", len(p)) + p + b"\x10" for p in parts)
    save("status", "build", b"\1" + stream)
    save("status", "lost", b"\1" + struct.pack(">H", len(first)) + first + b"\0")
    many = [message(vertex("%02x" % i, (5, started))) for i in range(10)]
    save("status", "many", b"\1" + b"".join(struct.pack(">H", len(p)) + p + b"\0" for p in many))
    save("status", "lines", b"\0\x03ref\x02w1\x14least-active-builds!\x02")


def answers_seeds():
    def pieces(*parts):
        return b"".join(struct.pack(">H", len(p)) + p for p in parts)

    def cap(name, enabled=1):
        return message((1, name), (2, enabled))

    platform = message((1, "amd64"), (2, "linux"))
    record = message((1, "worker-id"), (2, entry("os", "linux")), (3, platform), (5, message((2, "v0.34.2"))))
    new = message((1, cap("solve.base")), (2, cap("source.image")), (2, cap("exec.meta.base")), (3, record))
    old = message((1, cap("solve.base")), (2, cap("source.image", 0)), (3, record))
    save("answers", "pongs", b"\0" + pieces(new, old))
    listed = message((1, record))
    save("answers", "workers", b"\1\x0blinux/amd64" + pieces(listed, message((1, record), (1, message((1, "w2"))))))
    save("answers", "infos", b"\1\0" + pieces(message((1, message((2, "v0.13.0")))), message((1, message((2, "v0.34"))))))
    usage = message((1, message((1, "r"), (4, 4096), (10, "regular"))))
    save("answers", "usage", b"\1\0" + pieces(usage))
    events = b""
    for i, kind in enumerate((0, 1, 1, 2)):
        created = message((1, 1_700_000_000 + i), (2, i))
        event = message((1, kind), (2, message((1, f"ref{i}"), (6, created), (12, 1), (14, 1))))
        events += bytes([len(event)]) + event
    save("answers", "history", b"\2\1" + events)
    save("answers", "history-request", b"\3" + message((1, 1), (2, "ref"), (3, 1), (5, 10)))
    ref = message((1, "ref-1"), (2, definition(source_op("docker-image://alpine"))))
    several = message(
        (4, message((1, entry("linux/amd64", ref)), (1, entry("linux/arm64", message((1, "ref-2")))))),
        (10, entry("k", b"v")),
        (12, entry("linux/amd64", message((1, message((3, message((1, "ref-3")))))))),
    )
    save("answers", "result", b"\4\0" + message((3, message((3, ref)))))
    save("answers", "results", b"\4\0" + message((1, "old"), (3, several)))
    save("answers", "return", b"\4\1" + message((1, several)))
    save("answers", "return-error", b"\4\1" + message((2, message((1, 2), (2, "failed")))))
    old_refs = message((1, "r"), (2, message((1, entry("a", "ref-a")))))
    save("answers", "old-result", b"\4\0" + message((3, old_refs)))
    save("answers", "read-file", b"\4\2" + message((1, "ref-1"), (2, "/etc/passwd")))


def grpc_seeds():
    def framed(payload, compressed=0):
        return struct.pack(">BI", compressed, len(payload)) + payload

    body = framed(b"") + framed(b"hello") + framed(gzip.compress(b"hello" * 50, mtime=0), 1)
    save("grpc", "body", b"\2" + body)
    save("grpc", "body-too-large", b"\0" + framed(b"ok") + struct.pack(">BI", 0, 5000))
    save("grpc", "gzip", b"\x80" + gzip.compress(b"abc", mtime=0) + gzip.compress(b"x" * 9000, mtime=0))
    save("grpc", "status", b"\xc0no such job%3A%0A \xc3\xa9")
    save("grpc", "trace", b"\xc000-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    save("grpc", "path", b"\xc0/moby.buildkit.v1.Control/Solve")


def affinity_seeds():
    texts = [
        "https://example.test/team/app.git",
        "https://robot:s3cret@Example.TEST:443/team/app.git?branch=main#subdir",
        "git@example.test:team/app.git",
        "ssh://git@example.test:2222/team/app.git",
        "file:///srv/app.git",
        "C:\\work\\app",
        "../app",
        "http://user:pass/word@example.test/app.tar",
        "git://[2001:db8::1]:9418/app",
        "look at (https://u:p@example.test/x?y=z). and oci://reg.test/app",
    ]
    for i, text in enumerate(texts):
        save("affinity", f"text-{i}", b"\0" + text.encode())
    for i in range(4):
        save("affinity", f"secret-{i}", bytes([1, i, i]) + b"\x05robot\x00\x0cexample.test\x0bteam/app.git")


def config_seeds(root):
    minimal = (
        "listeners:\n  - name: builds\n    address: tcp://127.0.0.1:1234\n    protocol: tcp\n    pool: default\n"
        "pools:\n  - name: default\n    policy: round-robin\n    workers:\n"
        "      - {name: w1, address: tcp://10.0.0.1:1234}\n"
    )
    save("config", "minimal", minimal)
    save("config", "address", "tcp://[::1]:1234")
    save("config", "unix", "unix:///run/buildkit-lb.sock")
    save("config", "mistakes", minimal.replace("round-robin", "robin").replace("1234", "99999") + "what: [1, {a: b}]\n")
    save("config", "anchors", "a: &a [1]\nb: *a\n<<: {c: !!str 1}\n? x\n: |\n  text\n")
    # Every key, without the comments.
    lines = [line for line in (root / "conf/lb.yaml").read_text().splitlines() if line.strip()]
    bare = [line for line in lines if not line.lstrip().startswith("#")]
    save("config", "all", "\n".join(bare) + "\n")


def state_seeds():
    full = (
        '{"buildkit_lb_state":1,"written":1700000000,"pools":{\n"default":{"keys":[\n'
        '{"key":"example.test/team/app","warm":[{"worker":"w1","built":1700000000,"cached":0.750},'
        '{"worker":"w2","built":1,"cached":1.000}]}\n],"workers":{"w1":"tcp://10.0.0.1:1234"},"drained":["w2"]}\n}}\n'
    )
    save("state", "full", full)
    save("state", "empty", '{"buildkit_lb_state":1,"pools":{}}')
    save("state", "newer", '{"buildkit_lb_state":2,"pools":{}}')
    save("state", "beyond", full.replace("1700000000", "18446744073709551615").replace('"cached":1.000', '"cached":-1e308'))


def certificate_seeds():
    """Made once: keys are random. What is there stays."""
    if (CORPUS / "certificates").exists():
        return
    cases = {
        "names": ("/CN=robot", "DNS:*.ci.example,DNS:Runner.CI.example,URI:spiffe://ci/runner,email:ci@example.test,IP:127.0.0.1"),
        "plain": ("/CN=robot", None),
        "none": ("/O=nobody", "IP:::1"),
        "utf8": ("/CN=r\u00f6bot\u202e", "DNS:a\u0001b"),
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, (subject, alternatives) in cases.items():
            command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
            command += ["-days", "1", "-utf8", "-subj", subject, "-keyout", f"{folder}/key", "-outform", "DER"]
            command += ["-out", f"{folder}/der"]
            if alternatives:
                command += ["-addext", "subjectAltName=" + alternatives]
            subprocess.run(command, check=True, capture_output=True)
            save("certificates", name, pathlib.Path(folder, "der").read_bytes())


# ---- HTTP/2 scripts ----

RAW, USUAL, HEADERS, LARGE, DATA, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION, ANY, AGAIN = range(15)
ANSWER, SEND, TRAILERS, END, RESET, RESET_SENT, CONSUME, COLLECT, LEAVE, REQUEST, INFORM, LOST = range(15, 27)
WORKER = 0x80  # of http2_relay: the other side


def piece(content):
    return bytes([len(content)]) + content


def literal(name, value):
    return b"\0" + piece(name.encode()) + piece(value.encode())


def huge(name, size, kind=0):
    return bytes([kind]) + piece(name.encode()) + (bytes([size]) if size < 127 else b"\x7f" + varint(size - 127)) + b"v" * size


REQUEST_BLOCK = b"\x83\x86\x84\x41\x01a"


def http2_seeds():
    uncut = bytes([0])
    by_byte = bytes([1])
    call = bytes([USUAL, 1, 0, DATA, 1, 0, 40])
    server = {
        "call": uncut + call + bytes([DATA, 1, 1, 0, ANSWER, 0, 0, SEND, 0, 200, CONSUME, 0, TRAILERS, 0, COLLECT, 255]),
        "call-by-byte": by_byte + call + bytes([ANSWER, 0, 1, COLLECT, 10, SETTINGS, 1, 0]),
        "rapid-reset": uncut + bytes([USUAL, 1, 1, RST, 1, 8, USUAL, 2, 1, RST, 2, 8, USUAL, 3, 1, RST, 3, 8]) * 4,
        "continuations": uncut + bytes([HEADERS, 1, 0]) + piece(REQUEST_BLOCK) + bytes([CONTINUATION, 1, 0, 0, AGAIN, 64]),
        "long-value": uncut + bytes([LARGE, 1, 1, 255, 100, LARGE, 2, 1, 247, 20, COLLECT, 0]),
        "settings-flood": uncut + bytes([SETTINGS, 0, 0, AGAIN, 64, COLLECT, 255]),
        "ping-flood": uncut + bytes([PING, 0, AGAIN, 64, COLLECT, 255]),
        "windows": uncut + bytes([SETTINGS, 0]) + piece(b"\0\4\0\0\0\1") + call + bytes([ANSWER, 0, 0, SEND, 0, 255])
        + bytes([WINDOW, 1, 0, 0, 1, 0, WINDOW, 0, 0x7F, 255, 255, 255, COLLECT, 255]),
        "much-data": uncut + bytes([USUAL, 1, 0, DATA, 1, 0, 251, AGAIN, 8, CONSUME, 0, COLLECT, 255]),
        "priority-flood": uncut + bytes([PRIORITY, 9]) + piece(b"\0\0\0\1\x10") + bytes([AGAIN, 64]),
        "closed-stream": uncut + call + bytes([RESET, 0, 8, COLLECT, 255, DATA, 1, 1, 3, USUAL, 1, 1]),
        "leave": uncut + call + bytes([LEAVE, 0, COLLECT, 255, LEAVE, 1, USUAL, 2, 1, END, 0, COLLECT, 255]),
        "early-answer": uncut + call + bytes([INFORM, 0, ANSWER, 0, 1, RESET_SENT, 0, COLLECT, 255, DATA, 1, 1, 1]),
        "upgrade": bytes([0x80, RAW]) + piece(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"),
        "raw": bytes([0x80, RAW]) + piece(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"),
        "empty-data": uncut + bytes([USUAL, 1, 0, DATA, 1, 0, 0, AGAIN, 64]),
        "padding": uncut + bytes([USUAL, 1, 0, ANY, 0, 8, 0, 0, 0, 1]) + piece(b"\3abc\0\0\0"),
        "goaway": uncut + call + bytes([GOAWAY, 0x7F, 255, 255, 255, 0, LOST]),
        "bad-headers": uncut + bytes([HEADERS, 1, 5]) + piece(REQUEST_BLOCK + literal("X-Upper", "a"))
        + bytes([HEADERS, 2, 5]) + piece(REQUEST_BLOCK + literal("connection", "close")),
        "hpack-bomb": uncut + bytes([HEADERS, 1, 5]) + piece(REQUEST_BLOCK + b"\x40\1a" + piece(b"b" * 100) + b"\xbe" * 100),
    }
    for name, script in server.items():
        save("http2_server", name, script)
    status = b"\x88"
    answered = bytes([REQUEST, 0, COLLECT, 255, USUAL, 1, 0, DATA, 1, 0, 30])
    client = {
        "call": uncut + answered + bytes([HEADERS, 1, 5]) + piece(literal("grpc-status", "0")) + bytes([CONSUME, 0]),
        "call-by-byte": by_byte + answered + bytes([DATA, 1, 1, 0, END, 0, COLLECT, 255]),
        "trailers-only": uncut + bytes([REQUEST, 1, COLLECT, 255, USUAL, 1, 1]),
        "refused": uncut + bytes([REQUEST, 0, COLLECT, 255, RST, 1, 7, REQUEST, 2, COLLECT, 255]),
        "goaway": uncut + bytes([REQUEST, 0, REQUEST, 0, COLLECT, 255, GOAWAY, 0, 0, 0, 1, 0, USUAL, 1, 1, REQUEST, 0]),
        "few-streams": uncut + bytes([SETTINGS, 0]) + piece(b"\0\3\0\0\0\1") + bytes([REQUEST, 0] * 3 + [COLLECT, 255]),
        "push": uncut + bytes([REQUEST, 0, COLLECT, 255, PUSH, 1]) + piece(b"\0\0\0\2" + REQUEST_BLOCK),
        "informational": uncut + bytes([REQUEST, 0, COLLECT, 255, HEADERS, 1, 4]) + piece(literal(":status", "103")),
        "unasked": uncut + bytes([USUAL, 1, 0, DATA, 3, 0, 5]),
        "upload": uncut + bytes([REQUEST, 0, SEND, 0, 255, COLLECT, 255, WINDOW, 0, 0, 1, 0, 0, WINDOW, 1, 0, 1, 0, 0, COLLECT, 255]),
        "window-overflow": uncut + bytes([REQUEST, 0, COLLECT, 255, WINDOW, 1, 0x7F, 255, 255, 255, AGAIN, 1]),
        "bare": uncut + bytes([REQUEST, 0, COLLECT, 255, HEADERS, 1, 5]) + piece(status),
    }
    for name, script in client.items():
        save("http2_client", name, script)
    passed = bytes([15, 255, WORKER | 15, 255])  # collect on both sides
    to_worker = bytes([USUAL, 1, 0, DATA, 1, 0, 50]) + passed
    from_worker = bytes([WORKER | USUAL, 1, 0, WORKER | DATA, 1, 0, 200])
    trailers = bytes([WORKER | HEADERS, 1, 5]) + piece(literal("grpc-status", "0"))
    relay = {
        "call": uncut + to_worker + bytes([DATA, 1, 1, 0]) + from_worker + trailers + passed,
        "call-by-byte": by_byte + to_worker + from_worker + trailers + passed,
        "canceled": uncut + to_worker + from_worker + bytes([RST, 1, 8]) + passed,
        "worker-resets": uncut + to_worker + bytes([WORKER | RST, 1, 2]) + passed,
        "worker-lost": uncut + to_worker + from_worker + bytes([WORKER | 16]) + passed,
        "client-lost": uncut + to_worker + bytes([16]) + from_worker + passed,
        "early-answer": uncut + to_worker + bytes([WORKER | USUAL, 1, 1, WORKER | RST, 1, 0]) + passed + bytes([DATA, 1, 1, 9]),
        "client-trailers": uncut + to_worker + bytes([HEADERS, 1, 5]) + piece(literal("x-end", "1")) + passed,
        "long-value": uncut + bytes([LARGE, 1, 0, 255, 50]) + passed + bytes([WORKER | LARGE, 1, 1, 247, 9]) + passed,
        "held": uncut + bytes([17]) + to_worker + bytes([18]) + passed + from_worker + trailers + passed,
        "held-begun": uncut + bytes([17]) + to_worker + bytes([WORKER | 18, DATA, 1, 1, 5]) + passed + from_worker + trailers + passed,
        "held-canceled": uncut + bytes([17]) + to_worker + bytes([RST, 1, 8, 18]) + passed,
        "loss-answered": uncut + bytes([19]) + to_worker + bytes([WORKER | RST, 1, 2]) + passed,
        "loss-answered-late": uncut + bytes([19]) + to_worker + from_worker + passed + bytes([WORKER | 16]) + passed,
        "slow-reader": uncut + bytes([SETTINGS, 0]) + piece(b"\0\4\0\0\0\0") + to_worker + from_worker
        + bytes([WORKER | DATA, 1, 0, 251]) + passed + bytes([WINDOW, 1, 0, 0, 1, 0]) + passed,
    }
    for name, script in relay.items():
        save("http2_relay", name, script)
    wrapped = b"".join(struct.pack(">BI", 0, len(m)) + m for m in (message((1, b"PRI * ")), message((9, 5), (1, b"HTTP"), (1, b""))))
    save("tunnel", "messages", bytes([0x81]) + wrapped)
    save("tunnel", "fixed", bytes([0x80]) + struct.pack(">BI", 0, 14) + b"\x0d1234\x11" + b"12345678")
    save("tunnel", "compressed", bytes([0x82]) + struct.pack(">BI", 1, 2) + b"ab")
    save("tunnel", "served", bytes([1]) + call + bytes([DATA, 1, 1, 0, 17, PING, 0, 17]))
    save("tunnel", "asking", bytes([0x43, 15, 0, 17]) + bytes([USUAL, 1, 0, DATA, 1, 0, 40, 16, 0]))
    save("tunnel", "flood", bytes([0x40, SETTINGS, 0, 0, AGAIN, 64, 17]))


def large_header_seeds():
    save("large_headers", "indexed", bytes([1, 1, 1]) + b"a" + bytes([247, 1, 1]) + b"b" + bytes([10]))
    save("large_headers", "never-indexed", bytes([0, 2, 1]) + b"a" + bytes([254]))
    save("large_headers", "table", bytes([2, 1, 1]) + b"a" + bytes([50, 1, 1]) + b"b" + bytes([247, 0, 2, 0xBE, 0x82]))
    save("large_headers", "resized", bytes([1, 0, 3, 0x3F, 0x01, 0x82, 1, 1]) + b"c" + bytes([100]) + bytes([0, 0, 1, 0xBE]))
    save("large_headers", "huffman", bytes([0, 0]) + piece(b"\x82\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff"))
    save("large_headers", "two-blocks", bytes([0, 1, 1]) + b"k" + bytes([248]) + bytes([0, 1, 1]) + b"k" + bytes([248]))


def proxy_header_seeds():
    signature = b"\r\n\r\n\0\r\nQUIT\n"
    save("proxy_header", "v1-tcp4", "PROXY TCP4 192.0.2.1 198.51.100.2 51234 1234\r\nPRI * HTTP/2.0")
    save("proxy_header", "v1-tcp6", "PROXY TCP6 2001:db8::1 2001:db8::2 65535 0\r\n")
    save("proxy_header", "v1-mapped", "PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n")
    save("proxy_header", "v1-unknown", "PROXY UNKNOWN ffff::1 whatever\r\n")
    save("proxy_header", "v1-long", "PROXY TCP4 " + "1" * 120)
    save("proxy_header", "v2-tcp4", signature + b"\x21\x11\0\x0c" + b"\xc0\0\2\1\xc6\x33\x64\2\xc8\x22\4\xd2" + b"more")
    save("proxy_header", "v2-tcp6", signature + b"\x21\x21\0\x2b" + bytes(range(36)) + b"\x04\0\x04zero")
    save("proxy_header", "v2-local", signature + b"\x20\0\0\0")
    save("proxy_header", "v2-unix", signature + b"\x21\x31\0\xd8" + b"/" * 216)
    save("proxy_header", "v2-short", signature + b"\x21\x11\0\4\1\2\3\4")
    save("proxy_header", "none", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")


def main():
    solve_seeds()
    status_seeds()
    answers_seeds()
    grpc_seeds()
    affinity_seeds()
    config_seeds(CORPUS.parents[2])
    state_seeds()
    certificate_seeds()
    http2_seeds()
    large_header_seeds()
    proxy_header_seeds()
    files = [f for f in CORPUS.rglob("*") if f.is_file()]
    print(f"{len(files)} seeds, {sum(f.stat().st_size for f in files)} bytes")


if __name__ == "__main__":
    main()
