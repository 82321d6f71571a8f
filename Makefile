# A thin front: the work is in CMake's presets and in scripts/.

.PHONY: help demo test fuzz lint bench figures release clean

help:
	@echo "make demo     three real buildkitd and the balancer on this machine, real builds through it (KEEP=1: keep it running)"
	@echo "make test     everything: unit and integration tests under sanitizers, then end to end with real programs"
	@echo "make fuzz     every fuzz target for a minute (ARGS='--seconds 600 solve': one of them for ten)"
	@echo "make lint     formatting, clang-tidy, direction of includes, shellcheck"
	@echo "make bench    compare with nginx, HAProxy and nghttpx (ARGS=--quick: in a minute)"
	@echo "make figures  simulate pools and draw what docs/simulation.md shows (ARGS=--quick: in a minute)"
	@echo "make release  build/release/buildkit-lb"
	@echo "make clean    remove build/"

demo:
	@scripts/demo

test:
	@scripts/test

fuzz:
	@scripts/setup
	@scripts/fuzz $(ARGS)

lint:
	@scripts/lint

bench: release
	@bench/compare $(ARGS)

figures:
	@scripts/setup
	@bench/figures $(ARGS)

release:
	@scripts/setup
	@cmake --preset release
	@cmake --build --preset release

clean:
	rm -rf build
