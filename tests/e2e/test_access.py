"""Who may connect: networks, and the PROXY protocol together with the programs that speak it."""

import socket

import pytest

from harness.authority import Authority, Identity
from harness.balancer import buildkit_pool, pool

# Where the proxy in front connects from, so that it can be told from its clients, which are on 127.0.0.1.
FRONT = "127.0.0.9"
BEHIND_A_PROXY = {"proxy_protocol": "v1v2", "proxy_from": [FRONT]}


def ending_of(lb, source):
    """What a client at `source` gets that says nothing: b"" when it is closed."""
    with socket.create_connection(("127.0.0.1", lb.port), timeout=10, source_address=(source, 0)) as s:
        try:
            return s.recv(1)
        except ConnectionResetError:
            return b""


def in_front_of(stack, lb, how):
    if how == "nginx v1":
        return stack.nginx_stream([lb], more=f"proxy_protocol on; proxy_bind {FRONT};")
    send = {"haproxy v1": "send-proxy", "haproxy v2": "send-proxy-v2"}[how]
    return stack.haproxy_tcp([lb], server=f"{send} source {FRONT}")


@pytest.mark.parametrize("protocol", ["buildkit", "tcp"])
def test_only_listed_networks_may_come(stack, shared_workers, quick, protocol):
    make = buildkit_pool if protocol == "buildkit" else pool
    lb = stack.balancer([make(shared_workers[:1])], protocol=protocol,
                        listener={"allow_from": ["127.0.0.1", "10.0.0.0/8"]}, log={"level": "debug"})
    assert ending_of(lb, "127.0.0.2") == b""
    lb.wait_metric("buildkit_lb_protocol_errors_total", 1, kind="not_allowed")
    assert "client=127.0.0.2 kind=not_allowed" in lb.log.read_text()
    stack.client("buildctl").build(lb.address, quick, args={"ID": f"allowed-{protocol}"}).check()

    # Others from now on, after a reload.
    lb.config["listeners"][0]["allow_from"] = ["127.0.0.2"]
    assert lb.reload()["reloaded"]
    assert ending_of(lb, "127.0.0.1") == b""
    lb.wait_metric("buildkit_lb_protocol_errors_total", 2, kind="not_allowed")


@pytest.mark.parametrize("how", ["haproxy v1", "haproxy v2", "nginx v1"])
def test_a_proxy_in_front_tells_who_its_client_is(stack, shared_workers, quick, how):
    lb = stack.balancer([buildkit_pool(shared_workers[:1], affinity={"keys": ["source-ip"]})], protocol="buildkit",
                        listener={**BEHIND_A_PROXY, "allow_from": ["127.0.0.1"]})
    front = in_front_of(stack, lb, how)
    stack.client("buildctl").build(front.address, quick, args={"ID": f"behind-{how}"}).check()
    ended = [line for line in lb.log.read_text().splitlines() if "build ended" in line]
    assert ended and all(" client=127.0.0.1" in line and " key=127.0.0.1" in line for line in ended), ended
    # Whoever is no proxy of ours may not even claim to be somebody.
    with socket.create_connection(("127.0.0.1", lb.port), timeout=10) as s:
        s.sendall(b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n")
        with pytest.raises(ConnectionResetError):
            assert s.recv(1) == b""
            raise ConnectionResetError  # closed before it was sent
    lb.wait_metric("buildkit_lb_protocol_errors_total", 1, kind="not_allowed")


def test_the_header_comes_before_tls(stack, tmp_path, shared_workers, quick):
    server = Authority(tmp_path / "authority").issue("builds.example", "DNS:builds.example,IP:127.0.0.1")
    lb = stack.balancer([buildkit_pool(shared_workers[:1])], protocol="buildkit",
                        listener={**BEHIND_A_PROXY, "tls": {"cert": str(server.cert), "key": str(server.key)}})
    front = in_front_of(stack, lb, "haproxy v2")
    client = stack.client("buildctl")
    client.identity = Identity(None, None, server.ca)
    client.build(front.address, quick, args={"ID": "proxied-tls"}).check()


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_header_is_sent_to_what_stands_before_the_workers(stack, shared_workers, quick, version):
    between = stack.haproxy_tcp(shared_workers[:1], bind="accept-proxy")
    between.name = "between"
    between_as_worker = type("Worker", (), {"name": "between", "address": between.address})
    lb = stack.balancer([pool([between_as_worker], send_proxy=version)])
    stack.client("buildctl").build(lb.address, quick, args={"ID": f"sent-{version}"}).check()
