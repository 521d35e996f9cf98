# The few commands. `make setup` is a part of every other one; nothing else needs to be installed by hand.
PYTHON ?= python3
BIN := .venv/bin
export PYTHONPATH := src
# A test run starts several hundred Pythons: each would compile all of this again where an image says not to keep it.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup run demo test unit check fuzz bench interop crash deep ci lock

setup: .venv/.ready

.venv/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Postwren needs Python 3.11 or newer (PYTHON=python3.12 make setup)"; exit 1; }
	@$(PYTHON) -m venv .venv 2>/dev/null || { echo "venv is missing: apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

run: setup         ## a server for trying out, on loopback, with a demo account
	@$(BIN)/python -m postwren.cli.try_out

demo: setup        ## the whole story in one minute
	@$(BIN)/python -m postwren.cli.demo

check: setup       ## formatting, lint, types
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy

test: check        ## everything that must pass
	$(BIN)/pytest -q -n auto -m "not real"
	tests/interop/setup.sh
	$(BIN)/pytest -q -n auto --dist loadfile -m real tests/scripts tests/interop tests/cli tests/crash
	$(BIN)/pytest -q -m real tests/property tests/unit

unit: setup        ## unit tests and dialogues alone: seconds
	$(BIN)/pytest -q -m "not real" tests/unit tests/scripts

fuzz: setup        ## every fuzz target for a bounded time (SECONDS=60)
	$(BIN)/python -m fuzz.run --seconds $(or $(SECONDS),60)

bench: setup       ## side by side with Dovecot and Postfix
	tests/interop/setup.sh
	$(BIN)/python -m bench.run

interop: setup     ## real programs from Debian's packages
	tests/interop/setup.sh
	$(BIN)/pytest -q tests/interop

crash: setup       ## kill -9 at 300 random moments
	$(BIN)/python -m tests.crash.kill9 --kills $(or $(KILLS),300)
	$(BIN)/python -m tests.crash.exchange_kill9 --kills $(or $(KILLS),300)

deep: setup        ## new random examples, and random lives of sessions and devices, far more of them than in make test; a mailbox of a million
	HYPOTHESIS_PROFILE=default $(BIN)/pytest -q -n auto -m "not real" tests/unit tests/property
	$(BIN)/python -W error -m tests.property.imap_walk --steps 100000
	RUNS=10000 $(BIN)/pytest -q tests/property/test_plan_converges.py tests/property/test_sync_pop3.py
	SYNC_RUNS=1000 $(BIN)/pytest -q tests/property/test_sync_lives.py
	$(BIN)/python -m tests.crash.device_kill9 --kills 1000
	$(BIN)/python -m tests.crash.device_kill9 --kills 1000 --peer dovecot
	$(BIN)/python -m tests.crash.device_imap_kill9 --kills 300
	$(BIN)/python -m bench.million

ci:                ## what a landing runs
	bash .ci/run

lock:              ## renew requirements.lock from pyproject.toml
	$(BIN)/pip-compile --quiet --strip-extras --extra dev --generate-hashes --allow-unsafe --no-emit-index-url --no-emit-find-links --no-header --output-file requirements.lock pyproject.toml
