"""What deploy/ ships is accepted by the programs it is for."""

import re
import shutil
import subprocess

import pytest
import yaml

from harness import contexts
from harness.tools import REPOSITORY, balancer_program

DEPLOY = REPOSITORY / "deploy"


def buildkitd_toml():
    """deploy/buildkitd.toml with the mirror that it shows as a comment."""
    text = (DEPLOY / "buildkitd.toml").read_text()
    start = text.index('# [registry."docker.io"]')
    with_mirror = text[:start] + re.sub("^# ", "", text[start:], flags=re.MULTILINE)
    assert with_mirror != text
    # The sandbox of a worker in the tests; cgroups of its own are cleaned up by name.
    return with_mirror.replace("[worker.oci]\n", '[worker.oci]\n  defaultCgroupParent = "{cgroup}"\n')


def gc_rules(workers_output):
    return [dict(re.findall(r"(\w[\w ]*):[ \t]+(.*)", rule)) for rule in workers_output.split("GC Policy rule#")[1:]]


@pytest.mark.parametrize("version", ["current", "v0.13"])
def test_a_real_worker_takes_the_shipped_configuration(stack, quick, version):
    worker, = stack.workers(version, config=buildkitd_toml())
    rules = gc_rules(worker.buildctl("debug", "workers", "-v").stdout)

    # buildkitd reads "5GB" as GiB and prints decimal ones.
    kept = [round(float(rule["Reserved space"].removesuffix("GB")) * 1e9 / 2**30) for rule in rules]
    assert kept == [5, 20, 40, 40]
    assert [rule.get("Keep duration") for rule in rules] == ["48h0m0s", "720h0m0s", None, None]
    assert [rule["All"] for rule in rules] == ["false", "false", "false", "true"]
    stack.client("buildctl").build(worker.address, quick, args={"ID": "x"}).check()


@pytest.mark.parametrize("version", ["current", "v0.13"])
def test_its_limit_of_parallel_steps_is_one_that_a_worker_obeys(stack, tmp_path, version):
    """A misspelt key would be ignored without a word: so with the limit set to 1, two steps take turns."""
    config = buildkitd_toml().replace("max-parallelism = 4", "max-parallelism = 1")
    worker, = stack.workers(version, config=config)
    context = contexts.dockerfile(tmp_path / "two", """\
FROM base AS one
RUN sleep 2 && touch /done-1
FROM base AS two
RUN sleep 2 && touch /done-2
FROM scratch
COPY --from=one /done-1 /
COPY --from=two /done-2 /
""")
    assert stack.client("buildctl").build(worker.address, context).check().seconds > 4


def test_the_balancer_takes_its_configurations():
    for name in ("deploy/lb.yaml", "conf/lb.yaml"):
        done = subprocess.run([balancer_program(), "check", "--config", REPOSITORY / name], capture_output=True,
                              text=True, check=False)
        assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"


def test_promtool_takes_prometheus_yml():
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed: scripts/setup installs it")
    done = subprocess.run(["promtool", "check", "config", DEPLOY / "prometheus.yml"], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_compose_file_is_the_pool_that_the_balancer_is_told_of():
    services = yaml.safe_load((DEPLOY / "docker-compose.yml").read_text())["services"]
    configured = yaml.safe_load((DEPLOY / "lb.yaml").read_text())["pools"][0]["workers"]
    workers = {name: s for name, s in services.items() if s.get("image", "").startswith("moby/buildkit:")}

    assert {w["address"] for w in configured} == {f"tcp://{name}:1234" for name in workers}
    assert len(workers) == 3
    caches = [v for s in workers.values() for v in s["volumes"] if v.endswith(":/var/lib/buildkit")]
    assert len(set(caches)) == 3, "each worker has a volume of its own"
    assert all((s["image"], s["cpus"], s["mem_limit"], s["privileged"]) == ("moby/buildkit:v0.13.0", 4, "8g", True)
               for s in workers.values())
    assert "1234:1234" in services["buildkit-lb"]["ports"]
    for service in services.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert not source.startswith(".") or (DEPLOY / source).is_file(), f"{source} is mounted but not there"
