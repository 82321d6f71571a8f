#pragma once

#include "core/types.hpp"

namespace buildkit_lb::health {

/// How long to wait after a probe until the next one of the same worker begins. Pure.
///
/// Probes begin `interval` apart, less up to a fifth, so that the probes of a pool, and of the replicas of this
/// process, do not march in step. Never more: a worker that hangs is out within interval x unhealthy_after + timeout. A
/// probe that took longer than that (`spent`) is followed by the next one at once. `random`: from 0 up to but not
/// including 1.
duration pause_between_probes(duration interval, duration spent, double random);

}  // namespace buildkit_lb::health
