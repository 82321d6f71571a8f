"""Runs the real programs: buildkitd, buildctl, buildx, the balancer, nginx and HAProxy.

Used by the end-to-end tests and by scripts/demo. Everything runs on loopback; one `Stack` owns what was started and
takes it down again.
"""
