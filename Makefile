# Everything a contributor runs. `make help` lists it.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
UV     := $(VENV)/bin/uv
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup demo test check fmt bench crash crds clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  \033[1m%-8s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The venv brings its own uv, so nothing but Python 3.11 and make is needed on the machine.
$(VENV)/.synced: pyproject.toml uv.lock
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(UV) || { echo "setup: installing uv into $(VENV)"; $(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9'; }
	@echo "setup: installing the locked packages"
	@$(UV) sync --frozen --inexact --quiet --python $(BIN)/python
	@touch $@

setup: $(VENV)/.synced ## make .venv with everything the other targets need

demo: setup ## the whole product in a minute, on a real control plane (KEEP=1 leaves it running)
	@$(BIN)/python -u examples/music-agent/demo.py $(if $(KEEP),--keep,)

test: setup ## every test: core, api, engine, laws, and cluster on a real API server
	@$(BIN)/python -m trimtab.sandbox build
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup tests

check: setup ## lint, format, types, import contracts, generated files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fmt: setup ## format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup ## run the benchmarks and rewrite benchmarks/README.md
	$(BIN)/python -u -m benchmarks

crash: setup ## kill the operator around each of its writes, on real clusters (an hour or two)
	@$(BIN)/python -m trimtab.sandbox build
	PYTHONPATH=tests $(BIN)/python -u -m crash --workers $(WORKERS) --figures tests/crash/README.md

crds: setup ## regenerate crds/ and the chart's copy from the pydantic models
	$(BIN)/python -m trimtab.generate

clean: ## remove the venv and build products (never the sandbox's cache)
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
