"""TLS towards clients and workers, with certificates of a real authority."""

import shutil
import subprocess

import pytest

from harness import contexts
from harness.authority import Authority, Identity
from harness.balancer import buildkit_pool, pool
from harness.clients import VERSIONS
from harness.process import wait_until
from harness.stack import where

EVERY_CLIENT = pytest.mark.parametrize("program,version", VERSIONS, ids=["-".join(c) for c in VERSIONS])
HERE = "DNS:builds.example,IP:127.0.0.1"


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path / "authority")


@pytest.fixture
def server(authority):
    return authority.issue("builds.example", HERE)


def terminating(identity, **more):
    """The `tls` section of a listener."""
    return {"tls": {"cert": str(identity.cert), "key": str(identity.key), **{k: str(v) for k, v in more.items()}}}


def trusting(ca):
    """A client without a certificate."""
    return Identity(None, None, ca)


@EVERY_CLIENT
def test_builds_over_tls_to_workers_over_tls(stack, authority, server, quick, program, version):
    inside = authority.issue("worker.example", "DNS:worker.example")
    workers = stack.workers("current", "current", tls=inside)
    towards = authority.issue("balancer")
    lb = stack.balancer([buildkit_pool(workers, tls={"ca": str(towards.ca), "cert": str(towards.cert),
                                                     "key": str(towards.key), "server_name": "worker.example"})],
                        protocol="buildkit", listener=terminating(server, client_ca=authority.ca))
    client = stack.client(program, version)
    client.identity = authority.issue("ci-1", "DNS:ci-1.example")
    builds = [client.build(lb.address, quick, name=f"b{i}", args={"ID": f"tls{i}"}).check() for i in range(2)]

    assert [(b.out / "result").read_text() for b in builds] == ["built tls0\n", "built tls1\n"]
    assert {where(b, workers)[0].name for b in builds} == {"w1", "w2"}
    assert "tls_client=ci-1.example" in lb.log.read_text()


@pytest.mark.parametrize("protocol", ["buildkit", "tcp"])
def test_who_may_come(stack, authority, server, shared_workers, quick, tmp_path, protocol):
    make = buildkit_pool if protocol == "buildkit" else pool
    revoked = authority.issue("revoked", "DNS:revoked.ci.example")
    authority.revoke(revoked)
    listener = terminating(server, client_ca=authority.ca, client_crl=authority.write_crl())
    listener["tls"]["allow_names"] = ["*.ci.example", "admin"]
    lb = stack.balancer([make(shared_workers[:1])], protocol=protocol, listener=listener)
    stranger = Authority(tmp_path / "stranger", "stranger").issue("x", "DNS:x.ci.example")
    client = stack.client("buildctl")

    accepted = {"by its DNS name": authority.issue("nobody", "DNS:runner-7.ci.example"),
                "by its common name": authority.issue("admin")}
    for why, identity in accepted.items():
        client.identity = identity
        client.build(lb.address, quick, name="yes", args={"ID": why}).check()
    refused = {"no certificate": trusting(authority.ca),
               "another authority": Identity(stranger.cert, stranger.key, authority.ca),
               "expired": authority.issue("late", "DNS:late.ci.example", expired=True),
               "revoked": revoked,
               "another name": authority.issue("other", "DNS:ci.example,DNS:a.b.ci.example")}
    for count, (why, identity) in enumerate(refused.items(), start=1):
        client.identity = identity
        assert client.run_on(lb.address, "debug", "workers", check=False).returncode != 0, why
        wait_until(lambda n=count: (lb.metric("buildkit_lb_protocol_errors_total", kind="tls_handshake") or 0) >= n,
                   f"{why} to be counted")
    log = lb.log.read_text()
    for words in ("peer did not return a certificate", "certificate has expired", "certificate revoked",
                  "none of the names that are allowed"):
        assert words in log, words


def test_clients_check_the_balancer_and_it_checks_its_workers(stack, authority, tmp_path, quick):
    worker, = stack.workers("current", tls=authority.issue("worker.example", HERE + ",DNS:worker.example"))
    other = Authority(tmp_path / "other", "other")
    towards = authority.issue("balancer")
    shown = {"cert": str(towards.cert), "key": str(towards.key)}
    pools = [
        buildkit_pool([worker], "trusting", tls={"ca": str(authority.ca), **shown}),
        buildkit_pool([worker], "distrusting", tls={"ca": str(other.ca), **shown}, health_check={"type": "off"}),
        buildkit_pool([worker], "misled", tls={"ca": str(authority.ca), "server_name": "else.example", **shown},
                      health_check={"type": "off"}),
    ]
    lb = stack.balancer(pools, protocol="buildkit", listener=terminating(authority.issue("lb", HERE)))
    client = stack.client("buildctl")
    client.identity = trusting(other.ca)
    assert client.run_on(lb.address_of("trusting"), "debug", "workers", check=False).returncode != 0
    client.identity = trusting(authority.ca)
    client.build(lb.address_of("trusting"), quick, args={"ID": "trust"}).check()
    for name in ("distrusting", "misled"):
        build = client.build(lb.address_of(name), quick, args={"ID": name})
        assert not build.ok and "certificate is not accepted" in build.output, build.output


def test_a_listener_chooses_the_pool_by_the_name_that_tls_tells(stack, authority, server, shared_workers, quick):
    w1, _, w3 = shared_workers
    for protocol, make in (("tcp", pool), ("buildkit", buildkit_pool)):
        lb = stack.balancer([make([w1], "first"), make([w3], "second")], protocol=protocol,
                            listener={"hosts": [{"host": "*.team.example", "pool": "second"}], **terminating(
                                authority.issue("lb", HERE + ",DNS:a.team.example"))})
        client = stack.client("buildctl")
        client.identity = trusting(authority.ca)
        build = client.build(lb.address_of("first"), quick, args={"ID": protocol}).check()
        assert where(build, [w1, w3]) == [w1]
        client.server_name = "a.team.example"
        build = client.build(lb.address_of("first"), quick, args={"ID": protocol + "2"}).check()
        assert where(build, [w1, w3]) == [w3]


def served_names(lb, *options):
    """The subject of the certificate that the balancer shows, and what else s_client says of the connection."""
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{lb.port}", "-brief", *options],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=30,
                          check=False)
    return done.stdout + done.stderr


def test_certificates_that_change_are_taken_over_while_builds_run(stack, authority, shared_workers, tmp_path):
    first, second = authority.issue("first", HERE), authority.issue("second", HERE)
    live = Identity(tmp_path / "live.pem", tmp_path / "live.key", authority.ca)
    shutil.copy(first.cert, live.cert)
    shutil.copy(first.key, live.key)
    lb = stack.balancer([buildkit_pool(shared_workers[:1])], protocol="buildkit", listener=terminating(live))
    client = stack.client("buildctl")
    client.identity = trusting(authority.ca)
    build = client.start_build(lb.address, contexts.patient(tmp_path / "patient"), args={"ID": "x", "SECONDS": "300"})
    build.wait_step("x")
    assert "CN = first" in served_names(lb)

    # Half of it: does not fit, so the old one stays.
    shutil.copy(second.cert, live.cert)
    lb.wait_metric("buildkit_lb_certificate_reloads_total", 1, result="error")
    assert "CN = first" in served_names(lb)
    shutil.copy(second.key, live.key)
    lb.wait_metric("buildkit_lb_certificate_reloads_total", 1, result="ok")
    assert "CN = second" in served_names(lb)
    assert build.running()
    build.interrupt()


def test_old_versions_and_other_protocols_are_refused_and_sessions_resumed(stack, authority, server, shared_workers,
                                                                           tmp_path):
    lb = stack.balancer([buildkit_pool(shared_workers[:1])], protocol="buildkit", listener=terminating(server))
    assert "TLSv1.3" in served_names(lb, "-alpn", "h2")
    assert "TLSv1.2" in served_names(lb, "-alpn", "h2", "-tls1_2")
    assert "CONNECTION ESTABLISHED" not in served_names(lb, "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0")
    assert "CONNECTION ESTABLISHED" not in served_names(lb, "-alpn", "http/1.1")
    kept = tmp_path / "session.pem"
    for option, said in (("-sess_out", "New, "), ("-sess_in", "Reused, ")):
        done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{lb.port}", "-tls1_2", option, kept],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=30,
                              check=False)
        assert said in done.stdout, done.stdout


def test_a_client_that_does_not_shake_hands_is_closed(stack, server, shared_workers):
    lb = stack.balancer([buildkit_pool(shared_workers[:1])], protocol="buildkit", listener=terminating(server),
                        limits={"handshake_timeout": "500ms"})
    done = subprocess.run(["bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{lb.port}; timeout 20 cat <&3"], timeout=30,
                          check=False)
    assert done.returncode == 0
    lb.wait_metric("buildkit_lb_protocol_errors_total", 1, kind="handshake_timeout")


def test_a_file_that_can_t_be_used_is_an_error_with_its_place(stack, authority, server, shared_workers):
    other = authority.issue("other")
    lb = stack.balancer([buildkit_pool(shared_workers[:1])], start=False, protocol="buildkit",
                        listener={"tls": {"cert": str(server.cert), "key": str(other.key)}})
    lb.write_config()
    done = subprocess.run([str(lb.program), "check", "--config", str(lb.config_file)], capture_output=True, text=True,
                          timeout=30, check=False)
    assert done.returncode == 1
    assert "listeners[0].tls.key" in done.stderr + done.stdout
    assert "is not the key of the certificate in" in done.stderr + done.stdout
