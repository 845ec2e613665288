# Everything one does here, by name. `make help` lists it.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
# One file stands for "this environment has exactly what requirements.txt says".
READY := $(VENV)/.ready
UV := UV_PYTHON_DOWNLOADS=never UV_NO_PROGRESS=1 $(BIN)/uv
COMPILE := $(UV) pip compile --quiet --universal --generate-hashes --python-version 3.11 \
	--custom-compile-command "make lock"
# Arguments for what is run, as in: make up ARGS=--fresh
ARGS ?=

.PHONY: help
help: ## List what there is.
	@echo 'make TARGET [ARGS="..."]'
	@awk -F ':.*## ' '/^[a-z.-]+:.*## / { printf "  %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: up
up: $(READY) ## Run everything on this machine (ARGS=--fresh begins anew; Ctrl-C stops).
	@exec $(BIN)/onsale up $(ARGS)

.PHONY: demo
demo: $(READY) ## Watch a whole on-sale, with the audit after it.
	@exec $(BIN)/onsale demo $(ARGS)

# Each worker of a run has servers of its own; tests wait more than they reckon, so there may be more
# workers than cores.
PARALLEL := -n 3 --dist loadfile
SLOW := tests/adversity tests/e2e tests/embedded tests/loadtest tests/operations/test_wheel.py

.PHONY: test
test: $(READY) ## Run the tests (ARGS=tests/sale runs some).
	@tools/browser
	@$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

.PHONY: test-fast
test-fast: $(READY) ## Run the tests without kills, browsers, the demo and load.
	@$(BIN)/python -m pytest $(PARALLEL) $(foreach part,$(SLOW),--ignore $(part)) $(ARGS)

.PHONY: check
check: $(READY) ## Check style, types, layers, links, requirements, the compose file.
	@echo 'ruff'; $(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@echo 'mypy'; $(BIN)/mypy --no-error-summary
	@echo 'import-linter'; $(BIN)/lint-imports --no-logo
	@echo 'links, requirements, compose file'
	@$(BIN)/python -m pytest -q -r fEs --no-header tests/operations/test_links.py \
		tests/operations/test_requirements.py tests/operations/test_compose.py

.PHONY: bench
bench: $(READY) ## Measure, as ratios (needs wrk and two cores; see loadtest/README.md).
	@command -v wrk >/dev/null || { echo 'make bench needs wrk: apt-get install wrk' >&2; exit 2; }
	@$(BIN)/python -m loadtest.bench $(ARGS)

.PHONY: load
load: $(READY) ## Throw a spike, reloads, intruders, lost connections at it, and check the books.
	@$(BIN)/python -m loadtest $(ARGS)

.PHONY: format
format: $(READY) ## Format the code and mend what can be mended.
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

.PHONY: lock
lock: $(READY) ## Pin requirements anew after an edit of the .in files (ARGS=--upgrade takes newer).
	@$(COMPILE) $(ARGS) requirements.in -o requirements.txt
	@$(COMPILE) $(ARGS) -c requirements.txt requirements-server.in -o requirements-server.txt

.PHONY: clean
clean: ## Remove the environment and caches; the data in .onsale stays.
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: .venv
.venv: $(READY)

$(READY): requirements.txt tools/environment
	@tools/environment $(VENV) requirements.txt
	@touch $@
