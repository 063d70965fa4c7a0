# Everything a newcomer needs. `make demo` and `make test` do their own set-up into .venv.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test check bench clean

help: ## Say what there is.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

$(STAMP): pyproject.toml requirements-dev.lock
	@command -v $(PYTHON) >/dev/null || { echo "Carbonflow needs $(PYTHON)."; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV) || { echo "Carbonflow needs the venv of $(PYTHON): apt-get install python3.11-venv"; exit 1; }
	@echo "Installing into $(VENV); the heavy wheels come once ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

install: $(STAMP) ## Create .venv with everything, from the lock file.

demo: $(STAMP) ## Stream the bundled sample through the whole pipeline on this machine.
	@$(BIN)/carbonflow demo

test: check ## Check, then run every test, the real Kafka among them.
	@$(BIN)/pytest

check: $(STAMP) ## Lint, types and the import rule.
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(STAMP) ## Compare our worker with plain Faust: same broker, same records.
	@$(BIN)/python -m benchmarks.run

clean: ## Remove what was built; data directories stay.
	@rm -rf $(VENV) build *.egg-info
