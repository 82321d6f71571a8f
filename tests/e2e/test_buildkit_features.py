"""What clients can ask of a build, through a `protocol: buildkit` listener and, to compare, of a worker itself."""

import functools
import http.server
import json
import subprocess
import tarfile
import threading
import uuid

import pytest

from harness import contexts
from harness.agent import compile_list_keys, ssh_agent
from harness.bake import tree
from harness.clients import VERSIONS

BOTH_VERSIONS = pytest.mark.parametrize("version", ["current", "v0.13"])
EVERY_CLIENT = pytest.mark.parametrize("program,version", VERSIONS, ids=["-".join(c) for c in VERSIONS])


@EVERY_CLIENT
@pytest.mark.parametrize("pool", ["current", "v0.13"])
def test_steps_with_a_secret_an_agent_and_a_cache(stack, buildkit_balancer, tmp_path, program, version, pool):
    context = contexts.dockerfile(tmp_path / "mounts", """\
COPY list-keys /bin/
ARG ID
RUN --mount=type=secret,id=token cat /run/secrets/token > /secret-$ID
RUN --mount=type=ssh list-keys > /keys
RUN --mount=type=cache,target=/kept echo $ID >> /kept/log && cp /kept/log /log
FROM scratch
COPY --from=base /secret-* /keys /log /
""")
    compile_list_keys(context / "list-keys")
    secret, once = tmp_path / "secret", uuid.uuid4().hex
    secret.write_text(f"secret {once}\n")
    with ssh_agent(tmp_path / "agent", f"key of {once}") as agent:
        build = stack.client(program, version).build(
            buildkit_balancer.address_of(pool), context, args={"ID": once},
            extra=["--secret", f"id=token,src={secret}", "--ssh", f"default={agent}"]).check()
    files = tree(build.out)
    assert files[f"secret-{once}"].decode() == f"secret {once}\n"
    assert files["keys"].decode() == f"key of {once}\n"
    assert files["log"].decode().splitlines()[-1] == once


@EVERY_CLIENT
@pytest.mark.parametrize("kind", ["local", "tar", "oci"])
def test_outputs(stack, buildkit_balancer, quick, program, version, kind):
    build = stack.client(program, version).build(buildkit_balancer.address, quick, args={"ID": kind},
                                                 output=f"type={kind},dest={{out}}").check()
    if kind == "local":
        assert tree(build.out)["result"] == f"built {kind}\n".encode()
        return
    with tarfile.open(build.out) as archive:
        if kind == "tar":
            assert archive.extractfile("result").read() == f"built {kind}\n".encode()
        else:
            index = json.load(archive.extractfile("index.json"))
            digest = index["manifests"][0]["digest"].replace(":", "/")
            assert json.load(archive.extractfile(f"blobs/{digest}"))["schemaVersion"] == 2


@BOTH_VERSIONS
def test_a_dockerfile_on_stdin(stack, buildkit_balancer, tmp_path, version):
    context = contexts.dockerfile(tmp_path / "context", "", {"own": "content\n"})
    given = tmp_path / "given"
    given.write_text("FROM scratch\nCOPY own /\n")
    build = stack.client("buildx", version).build(buildkit_balancer.address, context, stdin=given,
                                                  extra=["-f", "-"]).check()
    assert tree(build.out)["own"] == b"content\n"


@BOTH_VERSIONS
def test_a_whole_context_on_stdin(stack, buildkit_balancer, tmp_path, version):
    context = contexts.dockerfile(tmp_path / "context", "FROM scratch\nCOPY own /\n", {"own": "content\n"})
    with tarfile.open(tmp_path / "context.tar", "w", format=tarfile.USTAR_FORMAT) as archive:
        archive.add(context, ".")
    build = stack.client("buildx", version).build(buildkit_balancer.address, "-", stdin=tmp_path / "context.tar").check()
    assert tree(build.out)["own"] == b"content\n"


@BOTH_VERSIONS
def test_the_outline_of_a_dockerfile(stack, buildkit_balancer, shared_workers, tmp_path, version):
    context = contexts.dockerfile(tmp_path / "context", "FROM base AS last\nARG COLOUR=blue\nRUN echo $COLOUR\n")
    client = stack.client("buildx", version)
    client.env["BUILDX_EXPERIMENTAL"] = "1"  # where v0.13 has it

    def outline(address):
        option = "--call=outline" if version == "current" else "--print=outline"
        return client.run("build", "--builder", client.builder(address), option, context).stdout

    text = outline(buildkit_balancer.address)
    assert "COLOUR" in text and "blue" in text
    assert text == outline(shared_workers[0].address)


@BOTH_VERSIONS
def test_provenance_in_the_metadata_file_is_what_a_worker_itself_gives(stack, buildkit_balancer, shared_workers, quick,
                                                                       version):
    client = stack.client("buildx", version)

    def metadata(address):
        build = client.build(address, quick, args={"ID": "provenance"}, extra=["--provenance", "mode=max"]).check()
        return json.loads((build.out.parent / "metadata.json").read_text()), tree(build.out)

    for pool, worker in (("current", shared_workers[0]), ("v0.13", shared_workers[1])):
        (through, through_files), (direct, direct_files) = map(
            metadata, (buildkit_balancer.address_of(pool), worker.address))
        assert set(through) == set(direct)
        assert shape(through) == shape(direct)
        assert set(through_files) == set(direct_files) >= {"provenance.json"}


def shape(value):
    """The keys of nested objects."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    return type(value).__name__


REMOTE_BAKE = """\
group "default" {{ targets = ["a", "b"] }}
target "a" {{
  dockerfile-inline = "FROM scratch\\nCOPY docker-bake.hcl /a\\n"
  output = ["type=local,dest={out}/a"]
}}
target "b" {{
  dockerfile-inline = "FROM scratch\\nCOPY docker-bake.hcl /b\\n"
  output = ["type=local,dest={out}/b"]
}}
"""


@pytest.fixture
def remote(tmp_path):
    """A git repository with a bake file, served on loopback: (its URL, where the targets' results go)."""
    work, out = tmp_path / "work", tmp_path / "remote-out"
    work.mkdir()
    (work / "docker-bake.hcl").write_text(REMOTE_BAKE.format(out=out))
    site = tmp_path / "site"
    as_somebody = ["-c", "user.name=n", "-c", "user.email=e@example.test", "-c", "init.defaultBranch=main"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "bake file"],
                    ["clone", "-q", "--bare", ".", site / "bake.git"]):
        subprocess.run(["git", *as_somebody, *command], cwd=work, check=True)
    subprocess.run(["git", "update-server-info"], cwd=site / "bake.git", check=True)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/bake.git#main", out
        server.shutdown()


@BOTH_VERSIONS
def test_a_remote_bake_file(stack, buildkit_balancer, remote, version):
    """buildx reads the file in an internal build that does real work, and the targets take the repository as context."""
    url, out = remote
    client = stack.client("buildx", version)
    client.run("bake", "--builder", client.builder(buildkit_balancer.address_of("current")), "--progress", "plain", url)
    assert set(tree(out)) == {"a/a", "b/b"}
