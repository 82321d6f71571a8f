"""Workers found by DNS: every address of a name."""

import threading
import time

from harness.balancer import buildkit_pool
from harness.process import free_port, wait_until
from harness.stack import where

NAME = "workers.test"


def test_a_pool_grows_and_shrinks_with_its_name(stack, quick):
    port = free_port()
    workers = [stack.workers("current", names=[f"d{n}"], host=f"127.0.0.{20 + n}", port=port)[0] for n in range(5)]
    hosts = stack.directory / "hosts"

    def resolve_to(some):
        hosts.write_text("127.0.0.1 localhost\n" + "".join(f"{w.host} {NAME}\n" for w in some))

    resolve_to(workers[:2])
    pool = buildkit_pool([], policy="round-robin", discovery={"dns": f"tcp://{NAME}:{port}", "interval": "500ms"})
    del pool["workers"]
    lb = stack.balancer([pool], start=False, protocol="buildkit")
    lb.hosts_file = hosts
    lb.start()

    def known():
        return {w["name"] for w in lb.workers()["workers"] if w["health"] == "up"}

    def names(some):
        return {f"{w.host}:{port}" for w in some}

    wait_until(lambda: known() == names(workers[:2]), "two workers")
    builds, stop = [], threading.Event()
    client = stack.client("buildx")
    lock = threading.Lock()

    def storm(thread):
        number = 0
        while not stop.is_set():
            build = client.start_build(lb.address, quick, name=f"s{thread}-{number}",
                                       args={"ID": f"{thread}-{number}"}).wait()
            with lock:
                builds.append((time.monotonic(), build))
            number += 1

    threads = [threading.Thread(target=storm, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: len(builds) >= 6, "some builds")
        resolve_to(workers)
        wait_until(lambda: known() == names(workers), "five workers", timeout=10)
        grown = len(builds)
        wait_until(lambda: len(builds) >= grown + 12, "builds on five workers")
        resolve_to(workers[2:])
        wait_until(lambda: {w["name"] for w in lb.workers()["workers"]} == names(workers[2:]), "three workers",
                   timeout=30)
        shrunk = time.monotonic()
        # Those that ran have ended: they may have begun before.
        wait_until(lambda: sum(when > shrunk for when, _ in builds) >= 12, "builds on three workers")
        hosts.write_text("127.0.0.1 localhost\n")
        wait_until(lambda: (lb.metric("buildkit_lb_discovery_failures_total") or 0) >= 2, "failed lookups")
        failed = time.monotonic()
        wait_until(lambda: sum(when > failed for when, _ in builds) >= 3, "builds while the name is unknown")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert [b.output for _, b in builds if not b.ok] == []
    assert known() == names(workers[2:])
    places = [{w.name for w in where(build, workers)} for _, build in builds]
    assert set.union(*places[grown:]) == {w.name for w in workers}, places
    assert set.union(*(p for p, (when, _) in zip(places, builds) if when > failed)) <= {"d2", "d3", "d4"}
