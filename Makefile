# Every target works as the first command after `git clone`.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
DEVICE_VENV := .venv-device
FROZEN_VENV := .venv-frozen
FROZEN := dist/sedge/sedge
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check
ARGS ?=

# Make takes a stamp for done only when its recipe ended, so an interrupted installation starts afresh.
INSTALLED := $(VENV)/.installed
DEVICE_INSTALLED := $(DEVICE_VENV)/.installed
FROZEN_INSTALLED := $(FROZEN_VENV)/.installed

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo setup test test-slow test-long test-gpu test-frozen frozen lint format bench clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

demo: $(DEVICE_INSTALLED) ## Hear it work: a bundled recording through the live engine (device dependencies only)
	$(DEVICE_VENV)/bin/python -m edge_app demo $(ARGS)

setup: $(INSTALLED) ## Make .venv with everything for training, export and development

test: $(INSTALLED) ## Run the tests, without the slow ones
	$(VENV)/bin/python -m pytest -m "not slow and not long and not gpu" $(ARGS)

test-slow: $(INSTALLED) ## Run the slow tests
	$(VENV)/bin/python -m pytest -m "slow and not gpu" $(ARGS)

test-long: $(INSTALLED) ## Run the tests that take minutes each: hours of sound, thousands of files
	$(VENV)/bin/python -m pytest -m "long and not gpu" $(ARGS)

test-gpu: $(INSTALLED) ## Run the tests that need an NVIDIA GPU (TensorRT with them: pip install '.[gpu]')
	SEDGE_REQUIRE_GPU=1 $(VENV)/bin/python -m pytest -m gpu $(ARGS)

test-frozen: frozen $(INSTALLED) ## Freeze the app, and start it offscreen on a recording
	SEDGE_FROZEN=$(abspath $(FROZEN)) $(VENV)/bin/python -m pytest -m slow -k frozen tests/test_packaging.py $(ARGS)

# An environment of its own: what else is installed for development cannot slip into the program.
frozen: $(FROZEN_INSTALLED) ## Make dist/sedge, a folder that runs the app without Python
	$(FROZEN_VENV)/bin/pyinstaller --noconfirm --log-level ERROR --workpath build/frozen --distpath dist export/frozen/sedge.spec
	@echo "dist/sedge: $$(du -sh dist/sedge | cut -f1); start dist/sedge/sedge-app, or dist/sedge/sedge for the commands"

lint: $(INSTALLED) ## Check style, types and layers
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

format: $(INSTALLED) ## Put the code into the house style
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

bench: $(INSTALLED) ## Run every benchmark in short form (5 minutes) into benchmarks/results
	$(VENV)/bin/python -m edge_app bench $(ARGS)

clean: ## Remove environments, caches and builds (never what training wrote)
	rm -rf $(VENV) $(DEVICE_VENV) $(FROZEN_VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

define CHECK_PYTHON
@command -v $(PYTHON) >/dev/null || { \
  echo "make: $(PYTHON) was not found; on Debian or Ubuntu, as root: apt-get install python3 python3-venv" >&2; exit 2; }
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
  echo "make: Python 3.11 or newer is needed, found $$($(PYTHON) --version); name another with: make PYTHON=python3.11" >&2; exit 2; }
@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
  echo "make: $(PYTHON) cannot make virtual environments; on Debian or Ubuntu, as root: apt-get install python3-venv" >&2; exit 2; }
endef

$(INSTALLED): pyproject.toml
	$(CHECK_PYTHON)
	@echo "Installing the development environment into $(VENV) (about 6 GB, some minutes)"
	@test -e $@ || $(PYTHON) -m venv --clear $(VENV)
	$(VENV)/bin/python $(PIP_INSTALL) --editable '.[dev]'
	@touch $@

# --no-compile: byte code of all dependencies would take a quarter of their space again.
$(DEVICE_INSTALLED): pyproject.toml
	$(CHECK_PYTHON)
	@echo "Installing the device environment into $(DEVICE_VENV) (under 300 MB)"
	@test -e $@ || $(PYTHON) -m venv --clear $(DEVICE_VENV)
	$(DEVICE_VENV)/bin/python $(PIP_INSTALL) --no-compile --editable .
	@touch $@

$(FROZEN_INSTALLED): pyproject.toml
	$(CHECK_PYTHON)
	@echo "Installing the app and PyInstaller into $(FROZEN_VENV) (about 500 MB)"
	@test -e $@ || $(PYTHON) -m venv --clear $(FROZEN_VENV)
	$(FROZEN_VENV)/bin/python $(PIP_INSTALL) --editable '.[freeze]'
	@touch $@
