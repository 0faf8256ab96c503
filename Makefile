# `make help` lists the targets. They write to .venv and .cache alone.

UV_VERSION := 0.13.9
PYTHON     ?= python3
VENV       := .venv
BIN        := $(VENV)/bin
PYTEST     := $(BIN)/pytest

# The extras that install from wheels. ldap is compiled: `make test-deps` installs its headers and builds it; later
# targets keep it.
SYNC := $(BIN)/uv sync --quiet --locked --compile-bytecode --extra cel --extra redis --extra postgres --extra aws --extra s3 --extra nats
LDAP := $(if $(wildcard $(VENV)/lib/python*/site-packages/bonsai),--extra ldap)

export UV_PYTHON_DOWNLOADS := never

.DEFAULT_GOAL := help
.PHONY: help setup run test test-python test-deps check format bench pictures replicas conformance coverage torture clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

setup: $(VENV)/.synced ## Install zot, zli, zb and the tools into .venv, as uv.lock says

$(BIN)/uv:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet 'uv==$(UV_VERSION)'

$(VENV)/.synced: $(BIN)/uv pyproject.toml uv.lock
	$(SYNC) $(LDAP)
	# Compile here, so that the first start is as fast as any other.
	$(BIN)/python -m compileall -q src
	@touch $@

run: setup ## Serve a registry on 127.0.0.1:8080 with its data in ./zot-data; options: make run ARGS='--port 5000'
	$(BIN)/zot serve $(ARGS)

test: setup ## Run all tests; those whose programs are missing are skipped and listed
	$(PYTEST) -n 2 --dist loadgroup $(ARGS)

test-python: setup ## Run all tests on another Python: make test-python PYTHON=python3.13
	UV_PROJECT_ENVIRONMENT=.cache/python $(SYNC) $(LDAP) --python $(PYTHON)
	.cache/python/bin/pytest -n 2 --dist loadgroup $(ARGS)

test-deps: setup ## Install the programs that tests talk to (apt as root, go, npm)
	$(BIN)/python scripts/test_deps.py
	test ! -e /usr/include/ldap.h || $(SYNC) --extra ldap

check: setup ## Format, lint, types, import rules
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup ## Format the code and apply the safe fixes
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: setup ## Measure, side by side with docker-registry where it is installed
	$(BIN)/python -m bench $(ARGS)

pictures: setup ## Take the pictures of docs/tutorial again, of the pages as they are now (needs Chromium)
	$(BIN)/python scripts/tutorial_pictures.py

replicas: setup ## Serve two replicas on one bucket and one Redis, to try them; nothing is kept
	$(BIN)/python scripts/replicas.py

conformance: setup ## Run the OCI conformance program with every switch on
	$(BIN)/python scripts/conformance.py $(ARGS)

coverage: setup ## Run all tests and show which branches of the product none of them takes (slow)
	rm -rf .cache/coverage
	$(BIN)/coverage run -m pytest -n 2 --dist loadgroup $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

torture: setup ## Run the crash tests at length (hours)
	$(PYTEST) tests/crash --torture --timeout 0 $(ARGS)

clean: ## Remove .venv, .cache and the caches of the tools; never data
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
