"""A build definition (LLB) without a frontend, encoded by hand: three messages of BuildKit's ops.proto."""

import hashlib
from pathlib import Path


def local_and_run(file: Path, args):
    """Writes the definition of: take the local directory `src` and run `args` in it. buildctl reads it from stdin."""
    source = _field(3, _field(1, "local://src"))
    rootfs = _field(3, "/")  # input 0 and output 0 are the zero values
    meta = b"".join(_field(1, arg) for arg in args) + _field(3, "/")
    run = _field(1, _input_of(source)) + _field(2, _field(1, meta) + _field(2, rootfs))
    result = _field(1, _input_of(run))
    file.write_bytes(b"".join(_field(1, op) for op in (source, run, result)))
    return file


def remote(file: Path, identifier, **attributes):
    """Writes the definition of: take what `identifier` (git://…, https://…) names, with these attributes; an underscore
    stands for a dot in their names."""
    source = _field(1, identifier)
    for key, value in attributes.items():
        source += _field(2, _field(1, key.replace("_", ".")) + _field(2, value))
    op = _field(3, source)
    file.write_bytes(b"".join(_field(1, one) for one in (op, _field(1, _input_of(op)))))
    return file


def _input_of(op):
    return _field(1, "sha256:" + hashlib.sha256(op).hexdigest())


def _field(number, content):
    """A length-delimited field."""
    data = content.encode() if isinstance(content, str) else content
    return bytes([number << 3 | 2]) + _varint(len(data)) + data


def _varint(value):
    encoded = b""
    while value > 0x7F:
        encoded += bytes([value & 0x7F | 0x80])
        value >>= 7
    return encoded + bytes([value])
