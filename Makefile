# make demo | make test | make lint: each sets itself up on a fresh machine first. Without make: see "Install" in README.md.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ARGS ?=

.PHONY: setup demo test lint format docs lowest clean gpu-check

setup: $(STAMP)

$(STAMP): $(wildcard requirements*.txt) constraints.txt pyproject.toml setup.py
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -q -r requirements.txt -r requirements-dev.txt -r requirements-eval.txt -c constraints.txt
	$(BIN)/python -m pip install --disable-pip-version-check -q --no-deps -e .
	touch $@

demo: setup
	$(BIN)/python demo.py $(ARGS)

test: setup
	$(BIN)/python -m pytest -n auto $(ARGS)

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# The documentation as a site, in site/; no network needed. CUT3R_REPOSITORY: the address that links to the code lead to.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict

# With the lowest versions that the lists of requirements allow: downloads 5 GB into a folder that goes away.
lowest:
	PYTHON=$(PYTHON) .ci/lowest

# On a machine with a GPU: verifies and measures everything in 8 minutes. It takes the Python at hand if that has CUDA.
gpu-check:
	if $(PYTHON) -c "import torch, sys; sys.exit(not torch.cuda.is_available())" 2>/dev/null; then \
	    $(PYTHON) benchmarks/gpu_check.py $(ARGS); \
	else \
	    $(MAKE) setup && $(BIN)/python benchmarks/gpu_check.py $(ARGS); \
	fi

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis src/*.egg-info
