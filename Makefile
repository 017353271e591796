# The same commands without make are in README.md.
PYTHON ?= python3
VENV ?= .venv
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif
READY := $(VENV)/.ready
RUNS := $(VENV)/.runs

.PHONY: setup report test test-all check clean

setup: $(READY)

# Made again when what it is made from has changed.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $(READY)

# What running needs, and not what developing needs.
$(RUNS): pyproject.toml constraints.txt
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --constraint constraints.txt --editable ".[report]"
	touch $(RUNS)

report: $(RUNS)
	$(BIN)/nncompare run mnist_bn_mlp --sample

# Without the tests that are marked slow.
test: setup
	$(BIN)/python -m pytest

test-all: setup
	$(BIN)/python -m pytest -m ""

check: setup
	PATH="$(CURDIR)/$(BIN):$$PATH" scripts/check

clean:
	rm -rf $(VENV) build *.egg-info
