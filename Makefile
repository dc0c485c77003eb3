# Everything a developer types. `make` alone lists it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# pip of Debian 12 (23.0) can do all of this; the locks hold hashes, so nothing but the named files is ever installed.
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install --quiet --require-hashes --only-binary :all:

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup setup-stream setup-dev demo demo-stream test lint format bench fuzz lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/.setup ## install tcpblame into .venv (once; afterwards this does nothing)

setup-stream: $(VENV)/.setup-stream ## the same with the stream: Faust, Avro, Java and a Kafka broker

setup-dev: $(VENV)/.setup-dev

demo: $(VENV)/.setup ## diagnose the shipped captures and show each verdict beside the truth
	@$(BIN)/python -m tcpblame.demo

demo-stream: $(VENV)/.setup-stream ## send a capture through Kafka and a worker and compare the rows
	@$(BIN)/python -m infra.demo_stream

test: lint $(VENV)/.setup-stream ## all that must hold: lint, types, tests
	$(BIN)/python -m pytest

lint: $(VENV)/.setup-dev ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.setup-dev ## put the code into its style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.setup-dev ## measure against the targets, paired with tcptrace (BENCH=small: a quick look)
	$(BIN)/python -m tests.bench.run $(BENCH)

fuzz: $(VENV)/.setup-dev ## mutate captures and headers for a long time, with bounds checks
	NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=build/fuzz-cache TCPBLAME_CACHE_DIR=build/fuzz-cache $(BIN)/python -m tests.ingest.fuzz_capture $(FUZZ)
	NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=build/fuzz-cache TCPBLAME_CACHE_DIR=build/fuzz-cache $(BIN)/python -m tests.inference.fuzz_engine

lock: ## resolve the dependencies of pyproject.toml anew, to their newest versions
	@test -x .venv-lock/bin/uv || { $(PYTHON) -m venv .venv-lock && .venv-lock/bin/pip install --quiet uv; }
	@sh lock/resolve .venv-lock/bin/uv --upgrade

clean: ## remove what was built, installed and measured here
	rm -rf $(VENV) .venv-lock .bench .kafka .dev build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps: each is newer than the files that it was made from. Editable: the checkout is what runs.

$(VENV)/bin/python:
	@sh infra/setup/python.sh $(PYTHON) $(VENV)

$(VENV)/.setup: lock/runtime.txt pyproject.toml | $(VENV)/bin/python
	@echo "installing tcpblame into $(VENV) (once)"
	@$(INSTALL) -r lock/runtime.txt
	@$(PIP) install --quiet --no-deps --no-build-isolation --no-index --editable .
	@touch $@

$(VENV)/.setup-dev: lock/dev.txt $(VENV)/.setup
	@$(INSTALL) -r lock/dev.txt
	@touch $@

$(VENV)/.setup-stream: lock/stream.txt $(VENV)/.setup
	@$(INSTALL) -r lock/stream.txt
	@sh infra/setup/java.sh
	@$(BIN)/tcpblame dev fetch
	@touch $@
