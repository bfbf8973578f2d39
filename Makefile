# Two commands for a newcomer: `make demo` and `make test`. Everything is installed into .venv.
#
# Two stamps: what the tools need at run time (demo) and what the tests need on top of it, so that
# the demo does not wait for the test tools. PYTHON=/path/to/python3 picks an interpreter.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.PHONY: help demo test lint docs fuzz matrix bench clean

BIN := .venv/bin
RUN := .venv/.stamp-run
DEV := .venv/.stamp-test
PIP := $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt
PYTHON ?=

# Bytecode is kept, whatever the environment says, but out of the tree: without it each of the many
# short-lived processes compiles its imports anew.
unexport PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX := $(CURDIR)/build/pycache

help:
	@echo "make demo    backup under load, judged by replaying it; then three broken clients, caught"
	@echo "make test    lint, types, import rules, docs in step, all tests with coverage"
	@echo "make lint    the static part of make test"
	@echo "make docs    write the generated pages of docs/ anew"
	@echo "make fuzz    the property tests, at length; then ten minutes of changed conversations"
	@echo "make matrix  every broken client and server on every case"
	@echo "make bench   measure, pinned to one core; rewrites the table in benchmarks/README.md"
	@echo "make clean   remove everything that was made, .venv included"

demo: $(RUN)
	$(BIN)/eseconform check --sut python:esebcli.sut:client --suite demo --out build/demo
	$(BIN)/eseconform selftest --demo --out build/demo-mutants

# --- checks ---------------------------------------------------------------------------------------

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m tools.gen_docs --check

# Coverage starts before pytest so that our own pytest plugin is counted; pytest-cov would miss it.
test: lint
	@rm -rf build/coverage && mkdir -p build/coverage
	$(BIN)/coverage run -m pytest -n auto --dist loadgroup -m "not matrix"
	@$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

docs: $(DEV)
	$(BIN)/python -m tools.gen_docs

fuzz: $(DEV)
	ESESIM_HYPOTHESIS_PROFILE=fuzz $(BIN)/pytest -n auto -m fuzz --timeout 0
	$(BIN)/python -m tools.fuzz_rpc --seconds 600

# Every broken client and server on every case: a quarter of an hour on two cores. Writes both
# pages anew; fails if a bug survives, a correct client is blamed, or a case catches nothing.
matrix: $(RUN)
	$(BIN)/eseconform selftest --out docs

bench: $(DEV)
	$(BIN)/python -m benchmarks.run

# --- setting up -----------------------------------------------------------------------------------

# The build back end comes first, pinned, so that the editable install fetches nothing of its own.
CANDIDATES := $(or $(PYTHON),python3 python3.13 python3.12 python3.11)
SUITABLE := import ensurepip, sys; sys.exit(sys.version_info < (3, 11))

$(RUN): pyproject.toml constraints.txt
	@if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	    for python in $(CANDIDATES) none; do \
	        if "$$python" -c '$(SUITABLE)' 2>/dev/null; then break; fi; \
	    done; \
	    if [ "$$python" = none ]; then \
	        echo "esesim needs Python 3.11 or newer with venv (on Debian: apt-get install python3-venv)." >&2; \
	        for python in $(CANDIDATES); do \
	            echo "  $$python: $$("$$python" -V 2>&1 || true)" >&2; \
	        done; \
	        echo "Say where one is: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; \
	        exit 1; \
	    fi; \
	    "$$python" -m venv --clear .venv; \
	fi
	@$(PIP) hatchling
	@$(PIP) --no-build-isolation --editable .
	@touch $@

$(DEV): $(RUN)
	@$(PIP) --no-build-isolation --editable '.[test]'
	@touch $@

clean:
	rm -rf .venv build dist .benchmarks .hypothesis .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
