# The two commands a newcomer needs are `make demo` and `make test`.
# Each makes its own environment in .venv; Python 3.11, 3.12 or 3.13 is all that must be there.

VENV ?= .venv
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11 python; do \
	$$name -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	2>/dev/null && echo $$name && break; done)
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
INSTALLED_DOCS := $(VENV)/.installed-docs
INSTALLED_JAX := $(VENV)/.installed-jax
INSTALLED_TORCH := $(VENV)-torch/.installed
INSTALLED_OLDEST := $(VENV)-keras-oldest/.installed
INSTALLED_NEWEST := $(VENV)-keras-newest/.installed
# The least Keras that requirements.txt admits, and the line that says which it admits.
OLDEST_KERAS = $(shell sed -n 's/^keras>=\([0-9.]*\).*/\1/p' requirements.txt)
ADMITTED_KERAS = $(shell sed -n 's/^\(keras>=[^ ]*\).*/\1/p' requirements.txt)
ON_EVERY_KERAS := tests/test_keras_graph.py tests/certificates
# Has PyTorch without CUDA; where it cannot be reached, PyPI's comes with it.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
# Two processes: more of them take memory, and each starts TensorFlow anew. Files run in the order of
# tests/conftest.py, not by their number of tests.
PARALLEL ?= -n 2 --dist loadfile --no-loadscope-reorder
# What runs on every backend. Doctests show values as TensorFlow prints them.
ON_EVERY_BACKEND := tests/test_backend.py tests/layers tests/losses tests/optimizers tests/certificates \
	tests/interop/test_plain.py tests/attacks/test_attacks.py tests/purifiers/test_ape_gan.py \
	tests/models/test_adversarial_model.py tests/models/test_otad.py \
	tests/models/test_otad_architectures.py tests/models/test_attacked_state.py \
	tests/test_replicas.py tests/test_sharded.py
# On PyTorch, which compiles nothing, more takes little time.
ON_TORCH := tests/metrics tests/attacks tests/purifiers tests/interop tests/models \
	tests/test_batches.py tests/test_callbacks.py tests/test_recipes.py

export TF_CPP_MIN_LOG_LEVEL ?= 3

.DEFAULT_GOAL := help
.PHONY: help demo test coverage test-slow test-jax test-jax-slow test-jax-smoke test-torch test-keras lint format docs install clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' Makefile

demo: $(INSTALLED) ## train, certify and attack a small network; figures in demo-report/
	$(BIN)/lipot demo --out demo-report

test: $(INSTALLED) ## run the tests, the doctests and the code of the docs
	$(BIN)/python -m pytest $(PARALLEL) --durations 20 --durations-min 2

coverage: $(INSTALLED) ## run the tests and count the lines they reach, into coverage.xml
	$(BIN)/python -m pytest $(PARALLEL) --cov --cov-report=xml --cov-report=term:skip-covered

test-slow: $(INSTALLED) ## run the tests that take minutes
	$(BIN)/python -m pytest -m slow

test-jax: $(INSTALLED_JAX) ## run the tests of layers, losses, certificates and models on JAX
	KERAS_BACKEND=jax JAX_ENABLE_X64=1 $(BIN)/python -m pytest -rs $(PARALLEL) $(ON_EVERY_BACKEND)

test-jax-slow: $(INSTALLED_JAX) ## train on 1, 2 and 4 devices of JAX, with every loss
	KERAS_BACKEND=jax $(BIN)/python -m pytest -m slow tests/test_replicas.py tests/test_sharded.py

test-jax-smoke: $(INSTALLED_JAX) ## run the dozen of them that CI runs on JAX
	KERAS_BACKEND=jax $(BIN)/python -m pytest -rs -m smoke $(ON_EVERY_BACKEND)

test-torch: $(INSTALLED_TORCH) ## the same on PyTorch, and those of attacks, purifiers and all models
	KERAS_BACKEND=torch $(VENV)-torch/bin/python -m pytest -rs $(PARALLEL) \
		$(ON_EVERY_BACKEND) $(ON_TORCH)

test-keras: $(INSTALLED_OLDEST) $(INSTALLED_NEWEST) ## run the tests of graphs and certificates on the oldest and newest Keras
	$(VENV)-keras-newest/bin/python -m pip install --quiet --upgrade "$(ADMITTED_KERAS)"
	for age in oldest newest; do \
		$(VENV)-keras-$$age/bin/python -c 'import keras; print("Keras", keras.__version__)' && \
		$(VENV)-keras-$$age/bin/python -m pytest $(ON_EVERY_KERAS) || exit 1; done

lint: $(INSTALLED) ## check style, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED) ## mend style and formatting
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(INSTALLED_DOCS) ## build the documentation site into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

install: $(INSTALLED) ## only make the environment
	@echo "Ready: source $(BIN)/activate"

clean: ## remove the environment and everything that was built
	rm -rf $(VENV) $(VENV)-torch $(VENV)-keras-oldest $(VENV)-keras-newest site demo-report build dist *.egg-info .pytest_cache .ruff_cache .coverage coverage.xml
	find lipot lipot_cli tests examples benchmarks -name __pycache__ -prune -exec rm -rf {} +

# A stamp, so that a second run starts at once and a failed install is tried again.
$(INSTALLED): pyproject.toml setup.py requirements.txt
	@test -n "$(PYTHON)" || { echo "lipot needs Python 3.11, 3.12 or 3.13 on the PATH," \
		"or its path in PYTHON: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "Making the environment in $(VENV); this takes a few minutes, once."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	@touch $@

# A hundred megabytes beside TensorFlow, which the CI then need not install a second time.
$(INSTALLED_JAX): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --editable ".[jax]" || \
		{ echo "JAX could not be installed, so nothing was tested on it."; exit 1; }
	@touch $@

$(INSTALLED_TORCH): pyproject.toml setup.py requirements.txt
	$(PYTHON) -m venv $(VENV)-torch
	$(VENV)-torch/bin/python -m pip install --quiet --extra-index-url $(TORCH_INDEX) \
		--editable ".[dev,torch]"
	@touch $@

$(INSTALLED_OLDEST): pyproject.toml setup.py requirements.txt
	$(PYTHON) -m venv $(VENV)-keras-oldest
	$(VENV)-keras-oldest/bin/python -m pip install --quiet --editable ".[dev]" \
		"keras==$(OLDEST_KERAS)"
	@touch $@

$(INSTALLED_NEWEST): pyproject.toml setup.py requirements.txt
	$(PYTHON) -m venv $(VENV)-keras-newest
	$(VENV)-keras-newest/bin/python -m pip install --quiet --editable ".[dev]"
	@touch $@

$(INSTALLED_DOCS): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --editable ".[docs]"
	@touch $@
