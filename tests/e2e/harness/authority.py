"""A certificate authority of openssl's, for tests of TLS."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

_CONFIG = """\
[ca]
default_ca = here
[here]
dir = {directory}
database = $dir/index.txt
new_certs_dir = $dir/issued
serial = $dir/serial
crlnumber = $dir/crlnumber
certificate = $dir/ca.pem
private_key = $dir/ca.key
default_md = sha256
default_days = 30
default_crl_days = 30
policy = any
unique_subject = no
copy_extensions = copy
[any]
commonName = supplied
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign, cRLSign
"""


@dataclass(frozen=True)
class Identity:
    """A certificate and its key, and the authority that those who see it should trust."""

    cert: Path
    key: Path
    ca: Path


class Authority:
    def __init__(self, directory: Path, name="test authority"):
        self.directory = directory
        (directory / "issued").mkdir(parents=True)
        self.ca = directory / "ca.pem"
        self.crl = directory / "crl.pem"
        self._config = directory / "openssl.cnf"
        self._config.write_text(_CONFIG.format(directory=directory))
        (directory / "index.txt").touch()
        (directory / "serial").write_text("1000\n")
        (directory / "crlnumber").write_text("1000\n")
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                      "-keyout", directory / "ca.key", "-out", self.ca, "-days", "30", "-subj", f"/CN={name}",
                      "-extensions", "authority")

    def issue(self, name, alternatives="", expired=False, rsa=False):
        """A certificate for `name`; `alternatives` such as `DNS:a.example,IP:127.0.0.1`. Its key is an ECDSA one (P-256)
        or, with `rsa`, of 2048 bits."""
        stem = self.directory / f"{len(list(self.directory.glob('*.csr')))}-{name}"
        cert, key, request = (stem.with_name(f"{stem.name}.{kind}") for kind in ("pem", "key", "csr"))
        kind = ["rsa:2048"] if rsa else ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        self._openssl("req", "-new", "-newkey", *kind, "-nodes", "-keyout", key, "-out", request,
                      "-subj", f"/CN={name}", *(["-addext", f"subjectAltName={alternatives}"] if alternatives else []))
        dates = ["-startdate", "20200101000000Z", "-enddate", "20200201000000Z"] if expired else []
        self._openssl("ca", "-batch", "-notext", "-in", request, "-out", cert, *dates)
        return Identity(cert, key, self.ca)

    def revoke(self, identity):
        self._openssl("ca", "-revoke", identity.cert)

    def write_crl(self):
        """The file of what is revoked so far."""
        self._openssl("ca", "-gencrl", "-out", self.crl)
        return self.crl

    def _openssl(self, command, *args):
        subprocess.run(["openssl", command, "-config", str(self._config), *map(str, args)], check=True,
                       capture_output=True, timeout=30)
