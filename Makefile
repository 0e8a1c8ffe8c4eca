# Everything a newcomer runs. Each target makes its own .venv on first use.
#   PYTHON=python3.12 make test    another interpreter (first use only)
#   ARGS="-k norms" make test      arguments for pytest
PYTHON ?= python3
ARGS ?=
# each worker has its own MongoDB and stores, and often waits for them: three fill two
# processors. ARGS=-n0 runs all in one process
WORKERS = -n 3 --dist loadfile --no-loadscope-reorder

VENV := .venv
PY := $(VENV)/bin/python
LOWEST := .venv-lowest
PIP := $(PY) -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo test quick lowest soak check docs fix shots bench clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | \
		awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

demo: $(VENV)/.installed  ## index 1,797 digits, query them, open the App (APP=0: no App)
	@$(PY) scripts/setup_mongod.py
	@exec $(PY) examples/demo.py

test: $(VENV)/.installed-dev  ## run the tests (QDRANT_URL=... adds those for a server)
	@$(PY) scripts/setup_mongod.py
	@exec $(PY) -m pytest $(WORKERS) $(ARGS)

quick: $(VENV)/.installed-dev  ## the inner loop: no App, one engine, stops at the third failure
	@$(PY) scripts/setup_mongod.py
	@exec $(PY) -m pytest -m "quick and not server" --maxfail 3 $(WORKERS) $(ARGS)

lowest: $(LOWEST)/.installed  ## test with the lowest versions that pyproject.toml allows
	@$(LOWEST)/bin/python scripts/setup_mongod.py
	@exec $(LOWEST)/bin/python -m pytest $(WORKERS) tests/unit tests/server \
		tests/embedded/contract tests/library $(ARGS)

check: $(VENV)/.installed-dev  ## lint, format, types, direction of imports
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

docs: $(VENV)/.installed-dev  ## write what docs/ takes from the code: parameters, layers
	@$(PY) scripts/document_parameters.py
	@$(PY) scripts/document_layers.py

soak: $(VENV)/.installed-dev  ## kill, crowd and starve embedded stores for ten minutes
	@$(PY) scripts/setup_mongod.py
	@FQ_SOAK=1 exec $(PY) -m pytest tests/soak $(ARGS)

fix: $(VENV)/.installed-dev  ## let ruff repair and format what it can
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

shots: $(VENV)/.installed-dev  ## take docs/images/*.png anew, from the real App in Chromium
	@$(PY) scripts/setup_mongod.py
	@PYTHONPATH=examples exec $(PY) -m tests.browser.shots

bench: $(VENV)/.installed-dev  ## compare with the other backends (ARGS="--points 100000 --million")
	@$(PY) scripts/setup_mongod.py
	@exec $(PY) -m benchmarks $(ARGS)

clean:  ## remove the environment, caches and builds
	rm -rf $(VENV) $(LOWEST) .venv-lancedb build dist .hypothesis .import_linter_cache .mypy_cache \
		.pytest_cache .ruff_cache

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 10) else \
		"Python 3.10 or newer is needed, e.g. make PYTHON=python3.12")'
	@echo "Making $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(VENV)/pyvenv.cfg
	@echo "Installing into $(VENV) (a minute or two on first use) ..."
	@$(PIP) --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(VENV)/.installed
	@echo "Installing the development tools ..."
	@$(PIP) --editable '.[dev]'
	@touch $@

$(LOWEST)/.installed: pyproject.toml scripts/lowest.py
	@echo "Making $(LOWEST) ..."
	@$(PYTHON) -m venv $(LOWEST)
	@$(PYTHON) scripts/lowest.py >$(LOWEST)/constraints.txt
	@cat $(LOWEST)/constraints.txt
	@$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check \
		--constraint $(LOWEST)/constraints.txt --editable '.[dev]'
	@touch $@
