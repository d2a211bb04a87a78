# Residency: make run, make test, make check, make bench. Each makes the environment it needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: run test check format bench cinc2019 docs clean help

help: ## show the targets
	@grep -E '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: $(INSTALLED) ## simulate a hospital, run the whole flow, serve the page at http://127.0.0.1:8000
	$(BIN)/residency run examples/hospital/flow.toml

test: $(INSTALLED) ## run the tests that this machine can run
	OMP_NUM_THREADS=1 POLARS_MAX_THREADS=1 $(BIN)/python -m pytest -q -n logical --durations=10

check: $(INSTALLED) ## format, lint, types, import floors, docs up to date
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/docs.py --check

format: $(INSTALLED) ## put the code in shape
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

docs: $(INSTALLED) ## write the pages that are made from the code
	$(BIN)/python scripts/docs.py

bench: $(INSTALLED) ## measure; nothing here is a test
	for bench in bench/*.py; do echo "== $$bench" && $(BIN)/python $$bench || exit 1; done

cinc2019: $(INSTALLED) ## early sepsis on real data (needs the data of examples/cinc2019/README.md)
	$(BIN)/residency run examples/cinc2019/flow.toml

clean: ## remove what runs made, the environment apart
	rm -rf work

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade --constraint constraints.txt pip
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[all]' --group test --group check
	$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true  # pip has one core do it, and minds as little what does not compile
	touch $@
