"""What can happen to workers, to the network and to the balancer while builds run."""

from dataclasses import dataclass
from typing import Callable

UNTIL_OTHERS_END = "others"  # the fault lasts until all builds that are not on its workers have ended
UNTIL_ALL_END = "all"


@dataclass(frozen=True)
class Fault:
    """`inflict` and `heal` are given the chaos.Rig. `holds`: seconds between the two, or one of the words above."""

    name: str
    inflict: Callable
    heal: Callable
    holds: float | str = UNTIL_OTHERS_END
    of_all: bool = False  # it meets all workers, not only the first
    noticed: bool = True  # the pool takes its workers out
    newcomers: bool = True  # builds that come while it lasts are expected to pass


def _nothing(_):
    pass


def _on_link(**how):
    return lambda rig: rig.links[0].disturb(**how)


def _heal_link(rig):
    rig.links[0].heal()


def _kill(rig):
    rig.victim.kill()


def _start(rig):
    rig.victim.start()


def _restart(rig):
    rig.victim.kill()
    rig.victim.launch()


def _wait_ready(rig):
    rig.victim.wait_ready()


def _pause(rig):
    rig.victim.pause()


def _resume(rig):
    rig.victim.resume()


def _kill_all(rig):
    for worker in rig.workers:
        worker.kill()


def _start_all(rig):
    for worker in rig.workers:
        worker.launch()
    for worker in rig.workers:
        worker.wait_ready()


def _kill_balancer(rig):
    rig.balancer.kill()


def _start_balancer(rig):
    rig.balancer.start()


def _jump(rig):
    rig.clock.set(3600)


def _jump_back(rig):
    rig.clock.set(0)


KILLED = Fault("killed (`kill -9`)", _kill, _start)
RESTARTED = Fault("restarted on the same port", _restart, _wait_ready, holds=0)
HUNG = Fault("hangs (`SIGSTOP`)", _pause, _resume)
RESET = Fault("its connections are reset", _on_link(reset=True), _nothing, holds=0)
CUT_SHORTLY = Fault("cut off for 1 s", _on_link(drop=1.0), _heal_link, holds=1, noticed=False)
CUT_A_WHILE = Fault("cut off for 10 s", _on_link(drop=1.0), _heal_link, holds=10)
CUT_LONGER = Fault("cut off for 30 s", _on_link(drop=1.0), _heal_link, holds=30)
CUT_FOR_GOOD = Fault("cut off for good", _on_link(drop=1.0), _heal_link, holds=UNTIL_ALL_END)
LOSSY = Fault("3 % of its packets lost", _on_link(drop=0.03), _heal_link, noticed=False)
SLOW = Fault("100 ms away", _on_link(delay=0.05), _heal_link, noticed=False)
ALL_GONE = Fault("all workers killed, back after 4 s", _kill_all, _start_all, holds=4, of_all=True, newcomers=False)
BALANCER_KILLED = Fault("the balancer killed, started again", _kill_balancer, _start_balancer, holds=0, of_all=True,
                        noticed=False, newcomers=False)
CLOCK = Fault("the balancer's clock jumps by an hour, and back", _jump, _jump_back, of_all=True, noticed=False)

EVERY = (KILLED, RESTARTED, RESET, HUNG, CUT_SHORTLY, CUT_A_WHILE, CUT_LONGER, CUT_FOR_GOOD, LOSSY, SLOW, ALL_GONE,
         BALANCER_KILLED, CLOCK)
