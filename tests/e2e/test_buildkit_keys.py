"""Affinity keys of what real clients send, and that none of it gives away a secret."""

import json
import shutil

import pytest

from harness import contexts, llb
from harness.bake import bake
from harness.balancer import buildkit_pool
from harness.clients import VERSIONS
from harness.process import wait_until
from harness.web import Web, commit_all

SECRET = "s3cret-0f-r0b0t"
BUILDX = [version for program, version in VERSIONS if program == "buildx"]
BUILDCTL = [version for program, version in VERSIONS if program == "buildctl"]


@pytest.fixture
def lb(stack, shared_workers):
    # The oldest worker refuses what the newest buildx says of a URL with a query.
    workers = [w for w in shared_workers if w.version == "current"]
    return stack.balancer([buildkit_pool(workers, policy="cache-affinity")], protocol="buildkit",
                          log={"level": "debug", "format": "json"})


@pytest.fixture
def web(tmp_path, quick):
    """A server that wants a password, with the repository team/app.git and the tarball app.tar."""
    made = Web(tmp_path / "web", "robot", SECRET)
    source = tmp_path / "source"
    shutil.copytree(quick, source)
    made.add_repository("team/app.git", source)
    made.add_tarball("app.tar", quick)
    yield made
    made.close()


def keys(lb, count):
    """(key, source) of the `count` builds that have ended, in order; the clients' own builds are not among them."""
    def ended():
        lines = [json.loads(line) for line in lb.log.read_text().splitlines() if line.startswith("{")]
        found = [(line["key"], line["key_source"]) for line in lines
                 if line["event"] == "build ended" and not line["internal"]]
        return found if len(found) >= count else None

    found = wait_until(ended, f"{count} builds to be in the log", 30)
    assert len(found) == count
    return found


def check_nothing_leaks(lb):
    pages = {path: lb.get(path)[1] for path in ("/metrics", "/api/v1/workers", "/api/v1/builds", "/readyz")}
    pages["the log"] = lb.log.read_text()
    for name, text in pages.items():
        assert text and SECRET not in text, f"the secret is in {name}"


def own_lines(output):
    return "\n".join(line for line in output.splitlines() if "[buildkit-lb]" in line)


def test_checkouts_of_one_repository_over_https_and_ssh_have_one_key(stack, lb, tmp_path):
    for number, (version, remote) in enumerate([
            ("current", f"https://robot:{SECRET}@Git.example.test/team/app.git"),
            ("v0.13", f"https://robot:{SECRET}@git.example.test/team/app"),
            ("current", "git@git.example.test:team/app.git"),
            ("v0.13", "ssh://git@git.example.test:2222/team/app.git")]):
        checkout = contexts.quick(tmp_path / f"checkout{number}")
        commit_all(checkout, remote)
        build = stack.client("buildx", version).build(lb.address, checkout, args={"ID": str(number)}).check()
        assert "git.example.test/team/app" in own_lines(build.output)
    assert keys(lb, 4) == [("git.example.test/team/app", "vcs:source")] * 4
    assert lb.metric("buildkit_lb_remembered_keys") == 1
    check_nothing_leaks(lb)


@pytest.mark.parametrize("version", BUILDX)
def test_contexts_that_are_urls_are_keys_without_their_credentials(stack, lb, web, version):
    client = stack.client("buildx", version)
    at = f"http://robot:{SECRET}@{web.host}"
    for context in (f"{at}/team/app.git#main", f"{at}/team/app.git", f"{at}/app.tar?token={SECRET}"):
        build = client.build(lb.address, context, args={"ID": "1"}).check()
        assert SECRET not in own_lines(build.output)
    assert keys(lb, 3) == [(f"{web.host}/team/app", "context")] * 2 + [(f"{web.host}/app.tar", "context")]
    assert f"/app.tar?token={SECRET}" in web.asked  # it was really fetched from there
    check_nothing_leaks(lb)


@pytest.mark.parametrize("version", BUILDCTL)
def test_definitions_without_a_frontend_are_known_by_their_source(stack, lb, web, tmp_path, version):
    client = stack.client("buildctl", version)
    repository, file = f"{web.host}/team/app.git", f"http://robot:{SECRET}@{web.host}/app.tar"
    git = llb.remote(tmp_path / "git", f"git://{repository}#main", git_fullurl=f"http://robot:{SECRET}@{repository}")
    client.solve(lb.address, git, {}).check()
    client.solve(lb.address, llb.remote(tmp_path / "http", file), {}).check()
    client.solve(lb.address, llb.local_and_run(tmp_path / "local", ["/bin/busybox", "true"]),
                 {"src": _with_busybox(tmp_path / "src")}).check()
    assert keys(lb, 3) == [(f"{web.host}/team/app", "context"), (f"{web.host}/app.tar", "context"), ("", "")]
    check_nothing_leaks(lb)


@pytest.mark.parametrize("version", BUILDX)
def test_directories_and_the_targets_of_a_bake_are_known_by_their_names(stack, lb, tmp_path, version):
    client = stack.client("buildx", version)
    plain = contexts.quick(tmp_path / "plain")
    linked = contexts.dockerfile(tmp_path / "linked", "FROM scratch\nCOPY --from=other result /\n")
    checkout = contexts.quick(tmp_path / "checkout")
    commit_all(checkout, "git@git.example.test:team/baked.git")
    named = contexts.dockerfile(tmp_path / "named", "FROM scratch\nCOPY --from=other Dockerfile /\n")
    client.build(lb.address, named, extra=["--build-context", f"other={plain}"]).check()
    assert keys(lb, 1) == [("named", "shared-key")]
    bake(client, lb.address, {
        "a": {"context": str(plain), "args": {"ID": "a"}},
        "b": {"context": str(linked), "contexts": {"other": "target:a"}},
        "c": {"context": str(checkout), "args": {"ID": "c"}},
    }).check()
    assert sorted(keys(lb, 4)[1:]) == [("git.example.test/team/baked", "vcs:source"), ("linked", "shared-key"),
                                       ("plain", "shared-key")]


@pytest.mark.parametrize("version", BUILDX)
def test_what_comes_on_stdin_has_no_key(stack, lb, web, quick, version):
    client = stack.client("buildx", version)
    client.build(lb.address, "-", args={"ID": "1"}, stdin=web.directory / "app.tar").check()
    dockerfile = web.directory / "Dockerfile"
    dockerfile.write_text("FROM scratch\nENV a=b\n")
    client.build(lb.address, "-", stdin=dockerfile).check()
    assert keys(lb, 2) == [("", ""), ("", "")]
    assert lb.metric("buildkit_lb_remembered_keys") == 0


@pytest.mark.parametrize("program,version", VERSIONS)
def test_the_error_of_a_build_is_logged_without_the_secret_in_its_url(stack, lb, web, tmp_path, program, version):
    web.close()  # the worker's complaint has the whole URL
    where = f"http://robot:{SECRET}@{web.host}/app.tar?token={SECRET}"
    context = contexts.dockerfile(tmp_path / "context", f"FROM scratch\nADD {where} /\n")
    build = stack.client(program, version).build(lb.address, context)
    assert not build.ok and SECRET in build.output  # what the worker says has it
    keys(lb, 1)
    check_nothing_leaks(lb)
    ended = [json.loads(line) for line in lb.log.read_text().splitlines() if '"build ended"' in line][-1]
    assert web.host in ended["error"]


def _with_busybox(directory):
    """A root file system that has /bin/busybox and nothing else."""
    (directory / "bin").mkdir(parents=True)
    shutil.copy("/bin/busybox", directory / "bin")
    return directory
