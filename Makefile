# `make help` lists what there is. Everything is installed into .venv, from exact versions with hashes.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help mock test prove test-browser test-engine check lint types format bench bench-peers docs lock wheel clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

mock: $(VENV)/run.done  ## Serve the mock; options: make mock ARGS="--port 0 --seed 7"
	@exec $(BIN)/walletproof serve $(ARGS)

test: $(VENV)/dev.done  ## Run the tests; options: make test ARGS="-k polar"
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

prove: $(VENV)/dev.done  ## Show that the gate finds every defect (minutes); options: make prove ARGS="--seeds 100"
	$(BIN)/walletproof prove $(ARGS)

test-engine: $(VENV)/dev.done  ## What takes minutes: stock Schemathesis on the mock, equal mocks compared; options: make test-engine ARGS="--seeds 50"
	$(BIN)/python -m pytest tests/engine $(ARGS)

test-browser: $(VENV)/dev.done  ## Look at what JavaScript has a part in (needs Chromium and node)
	$(BIN)/python -m pytest tests/browser $(ARGS)

check: lint types test  ## Everything that must hold before a change lands

lint: $(VENV)/dev.done  ## Look for mistakes and for untidiness
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev.done  ## Check types
	$(BIN)/mypy

format: $(VENV)/dev.done  ## Put layout and imports in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/dev.done  ## Measure speed, start, memory (minutes; needs wrk); options: make bench ARGS="--quick"
	$(BIN)/python -m benchmarks.speed $(ARGS)

bench-peers: $(VENV)/dev.done  ## The same beside Prism, Mockoon and Specmatic (needs node, npm and java as well)
	$(BIN)/python -m benchmarks.speed --peers $(ARGS)

docs: $(VENV)/dev.done  ## Bring the tables of README.md and the list of rules up to date
	$(BIN)/python tools/readme_tables.py
	$(BIN)/python tools/rules_page.py

wheel: $(VENV)/dev.done  ## Build the wheel into dist/
	$(BIN)/python -m hatchling build -t wheel

lock: $(VENV)/dev.done  ## Choose the newest allowed versions anew
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 pyproject.toml --group build -o requirements/run.txt
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 pyproject.toml --group dev -c requirements/run.txt -o requirements/dev.txt

clean:  ## Remove what the targets made
	rm -rf $(VENV) dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("walletproof needs Python 3.11 or newer, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)

$(VENV)/run.done: requirements/run.txt pyproject.toml | $(BIN)/python
	@echo "Installing into $(VENV) ..."
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/run.txt
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/dev.done: requirements/dev.txt $(VENV)/run.done
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@
