"""What TLS handshakes cost a proxy, and for how long they keep its thread from other connections."""

from dataclasses import dataclass
from statistics import median

import routes
import tls_load
from harness.authority import Authority

_STORM_CONTEXT = tls_load.client_context()


@dataclass
class Storm:
    """Clients that all come at once: what an other connection of the same thread felt of it, a round each."""

    key: str
    name: str
    samples: list  # (seconds of the storm, slowest answer in ms, median answer in ms)
    failure: str = ""


class Group:
    """Proxies with one kind of certificate, and what is measured through them."""

    def __init__(self, key, identity, ways, clients=None):
        """`clients`: the identity that clients show."""
        self.key = key
        self.identity = identity
        self.ways = ways
        self.context = tls_load.client_context(clients)
        self.wants_clients = clients is not None
        self.storms = [] if clients else [Storm(key, way.name, []) for way in ways]

    def sample_storms(self, count):
        for storm, way in zip(self.storms, self.ways):
            if storm.failure:
                continue
            try:
                storm.samples.append(tls_load.storm_with_timing(way.port, way.tls_port, _STORM_CONTEXT, count))
            except (OSError, ValueError) as error:
                storm.failure = str(error)


def make_groups(directory, backends):
    """The proxies with an RSA key, with an ECDSA one, and with that and client certificates."""
    authority = Authority(directory / "authority")
    # BuildKit's own certificates are of either kind.
    server_rsa = authority.issue("rsa", "DNS:localhost,IP:127.0.0.1", rsa=True)
    server_ec = authority.issue("ec", "DNS:localhost,IP:127.0.0.1")
    client = authority.issue("client")
    made = []
    for key, identity, clients in [("RSA-2048", server_rsa, None), ("ECDSA P-256", server_ec, None),
                                   ("ECDSA P-256, client certificates", server_ec, client)]:
        bundle = directory / f"bundle-{len(made)}.pem"
        bundle.write_text(identity.cert.read_text() + identity.key.read_text())
        settings = routes.Tls(identity, clients is not None, bundle)
        ways = routes.tls_routes(directory / str(len(made)), backends, settings)
        made.append(Group(key, identity, ways, clients))
    return made


def cases(group, count, make_case):
    """`make_case(title, unit, scale, amount, run)`."""

    def full(route):
        return tls_load.handshakes(route.tls_port, group.context, count)

    def resumed(route):
        return tls_load.handshakes(route.tls_port, group.context, count, resume=True)

    made = [make_case(f"{count:,} handshakes, {group.key}", "1000/s", 1e3, count, full)]
    if not group.wants_clients:
        made.append(make_case(f"{count:,} resumed, {group.key}", "1000/s", 1e3, count, resumed))
    return made


def storm_markdown(storms, count):
    """What an other connection waited for at the longest, and usually."""
    lines = [f"| {count:,} clients at once | key | storm s | slowest answer ms | median answer ms |",
             "| --- | --- | ---: | ---: | ---: |"]
    for storm in storms:
        if not storm.samples:
            lines.append(f"| {storm.name} | {storm.key} | {storm.failure} | | |")
            continue
        seconds, slowest, middle = (median(sample[i] for sample in storm.samples) for i in range(3))
        lines.append(f"| {storm.name} | {storm.key} | {seconds:.2f} | {slowest:.1f} | {middle:.1f} |")
    return "\n".join(lines)
