# The house of velocity. A bare machine needs `make` and a Python; everything else comes into .venv.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
LINTER := $(VENV)/.lint-ready
OURS   := schemas runtime streams batcher console sandbox benchmarks tests requirements deploy typings

# All processes of a test run share compiled modules, also where the environment asks for none.
BYTECODE := PYTHONDONTWRITEBYTECODE= PYTHONPYCACHEPREFIX=$(CURDIR)/build/bytecode

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test bench bench-rivals soak lint lock dashboard screenshots clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile
	@$(MISSING) || true

setup: $(READY) ## Build .venv from the locked requirements, with .venv/bin/velocity in it

demo: $(READY) ## 209,029 real retail lines through a real Kafka to audited coefficients
	@$(BIN)/velocity demo

test: $(READY) ## Run the tests, in two processes; apt installs a missing Chromium for those in a browser
	@$(BIN)/python tests/chromium.py
	@$(BYTECODE) $(BIN)/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder

bench: $(READY) ## Measure the stages against plain alternatives
	@$(BIN)/velocity bench --chart docs/performance.svg

bench-rivals: $(READY) ## Measure the stream worker beside Flink and Kafka Streams; needs a JDK
	@$(BIN)/velocity bench -- --lanes raw stream flink kafka-streams

soak: $(READY) ## Run the long crash tests, and the property tests with many more examples
	@HYPOTHESIS_PROFILE=thorough $(BIN)/python -m pytest --timeout=3600 tests/properties
	@HYPOTHESIS_PROFILE=thorough $(BIN)/python -m pytest --timeout=3600 -m soak

lint: $(LINTER) ## Check style, types, the Dockerfile, and which package may import which
	@$(BIN)/ruff check $(OURS)
	@$(BIN)/ruff format --check $(OURS)
	@$(BIN)/basedpyright
	@$(BIN)/lint-imports
	@$(BIN)/hadolint Dockerfile

lock: $(READY) ## Resolve the requirements anew; UPGRADE=--upgrade takes newer versions
	@$(BIN)/python requirements/install.py $(VENV) lock
	@$(COMPILE) requirements/all.txt --all-extras pyproject.toml
	@$(COMPILE) requirements/base.txt --extra postgres --extra s3 --extra traces --constraints requirements/all.txt pyproject.toml
	@for name in build lint lock; do \
		$(COMPILE) requirements/$$name.txt --constraints requirements/all.txt requirements/$$name.in || exit 1; \
	done

dashboard: $(READY) ## Write the Grafana dashboard from its table of panels
	@$(BIN)/python deploy/grafana/generate.py

screenshots: $(READY) ## Take the pictures of the web console in docs/screenshots, of a demo that runs
	@$(BIN)/python tests/chromium.py
	@$(BIN)/python tests/screenshots.py

clean: ## Remove .venv and everything that was built or cached here
	@rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Universal: one file for every platform and Python. No address of a package index gets into it.
COMPILE = $(BIN)/uv pip compile --quiet $(UPGRADE) --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" --output-file

# Says in plain words what set-up lacks on this machine; fails if there is anything.
define MISSING
{ command -v "$(PYTHON)" >/dev/null 2>&1 \
	|| { echo "missing: Python 3.11 or newer ($(PYTHON) is not there). Install it, or name it: make setup PYTHON=/path/to/python" >&2; false; }; } \
&& { "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	|| { echo "missing: Python 3.11 or newer ($(PYTHON) is $$("$(PYTHON)" -V 2>&1)). Name another: make setup PYTHON=python3.12" >&2; false; }; } \
&& { "$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null \
	|| { echo "missing: the venv module of $(PYTHON). On Debian and Ubuntu: apt install python3-venv" >&2; false; }; }
endef

$(READY): requirements/all.txt requirements/install.py pyproject.toml
	@$(MISSING)
	@"$(PYTHON)" requirements/install.py $(VENV) all
	@touch $@

$(LINTER): $(READY) requirements/lint.txt
	@"$(BIN)/python" requirements/install.py $(VENV) lint
	@touch $@
