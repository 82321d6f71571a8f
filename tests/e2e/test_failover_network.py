"""The network to a worker is cut for good, without a reset: its builds start again on another. (docs/failover.md)"""

from harness import chaos
from harness.bake import tree
from harness.balancer import buildkit_pool
from harness.clients import VERSIONS
from harness.failover import line


def test_a_worker_that_is_cut_off_loses_its_builds_to_another(stack, private_network, patient):
    links = [private_network.add_host() for _ in range(2)]
    workers = [stack.workers("current", names=[name], host=link.address, namespace=link.far)[0]
               for name, link in zip(("w1", "w2"), links)]
    first, second = workers
    pool = buildkit_pool(workers, failover={"liveness": "3s"}, health_check=chaos.HEALTH_CHECK)
    lb = stack.balancer([pool], protocol="buildkit")
    assert lb.command("drain", second.name).returncode == 0
    builds = [stack.client(*client).start_build(lb.address, patient, args={"ID": f"b{i}", "SECONDS": "3"})
              for i, client in enumerate(VERSIONS)]
    for i, build in enumerate(builds):
        build.wait_step(f"b{i}")
    assert lb.command("undrain", second.name).returncode == 0
    links[0].disturb(drop=1.0)
    for i, build in enumerate(builds):
        ended = build.wait(90).check()
        assert line(first, second) in ended.output
        assert tree(ended.out) == {"result": f"built b{i}\n".encode()}
    links[0].heal()
