# make curate   the starter run, end to end and real       make test    every test (vLLM and Prefect for real)
# make check    linters, types, layers, fast tests         make clean   remove .venv and runs/
# make static   linters, types, layers: what check has beyond test
# make accelerator   what .venv is, or would be, built for: cpu or cuda. ACCELERATOR=cpu|cuda decides by hand
.PHONY: curate test check static ruff mypy layers cards fast format lock clean accelerator rebuild
.DEFAULT_GOAL := curate

# Device nodes beside the driver's /proc: a container sees the host's /proc, and no GPU that it was not given.
ifeq ($(strip $(ACCELERATOR)),)
  override ACCELERATOR := $(shell [ "$$(uname -sm)" = "Linux x86_64" ] || { echo cpu; exit; }; \
    if nvidia-smi -L 2>/dev/null | grep -q '^GPU '; then echo cuda; \
    elif [ -e /proc/driver/nvidia/version ] && [ -e /dev/nvidia0 ]; then echo cuda; else echo cpu; fi)
endif
ifeq ($(filter cpu cuda,$(ACCELERATOR)),)
  $(error ACCELERATOR is '$(ACCELERATOR)', expected cpu or cuda)
endif
LOCK := $(if $(filter cuda,$(ACCELERATOR)),requirements-cuda.lock,requirements.lock)

# PYTHON=/path/to/python chooses among 3.11, 3.12 and 3.13; by default the first one that runs (PYTHON311: its old name).
PYTHON ?= $(PYTHON311)
PY := .venv/bin/python
UV := .venv/bin/uv

# What .venv was built for. Those of earlier releases do not say, and were for the CPU.
INSTALLED := $(if $(wildcard .venv/ready),$(or $(shell cat .venv/ready),cpu))
ifneq ($(INSTALLED),)
  ifneq ($(INSTALLED),$(ACCELERATOR))
    .venv/ready: rebuild
  endif
  VERSION := -c 'import sys; print(*sys.version_info[:2])'
  ifneq ($(strip $(PYTHON)),)
    ifneq ($(shell $(PYTHON) $(VERSION)),$(shell $(PY) $(VERSION)))
      .venv/ready: rebuild
    endif
  endif
endif

# A folder of wheels that pip was told of holds the CPU build of torch; elsewhere uv finds that build itself. Neither
# may reach a CUDA environment: torch==2.13.0 is 2.13.0+cpu too.
ifeq ($(ACCELERATOR),cuda)
  unexport UV_TORCH_BACKEND UV_FIND_LINKS
else ifneq ($(strip $(PIP_FIND_LINKS)),)
  export UV_FIND_LINKS := $(PIP_FIND_LINKS)
else
  export UV_TORCH_BACKEND ?= cpu
endif

# Tests start hundreds of processes; without bytecode each compiles what it imports, half of the time that torch takes.
PYTEST := env -u PYTHONDONTWRITEBYTECODE $(PY) -m pytest
# A worker a core, each with one thread, and files in the order of tests/support/marked_files.py. Slow tests wait a tenth
# of their time, for servers and processes that they start, so all tests together have a worker more.
WORKERS := $(shell cores=$$(getconf _NPROCESSORS_ONLN); echo $$((cores < 4 ? cores : 4)))
TOGETHER := --dist loadfile --no-loadscope-reorder

curate: .venv/ready
	$(PY) -m flows.curate

check: static
	$(PYTEST) -q -m "not slow" -n $(WORKERS) $(TOGETHER)

static: .venv/ready
	@$(MAKE) -j2 --no-print-directory ruff mypy layers cards

ruff:
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

mypy:
	.venv/bin/mypy

layers:
	.venv/bin/lint-imports

cards:
	$(PY) -m flows.data_cards --check

fast: .venv/ready
	$(PYTEST) -q -m "not slow" -n $(WORKERS) $(TOGETHER)

test: .venv/ready
	$(PYTEST) -n $$(($(WORKERS) + 1)) $(TOGETHER)

format: .venv/ready
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

accelerator:
	@echo $(ACCELERATOR)

.venv/ready: $(LOCK)
	@python=""; for one in $(or $(strip $(PYTHON)),python3.11 python3.12 python3.13 python3); do \
	  "$$one" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && \
	    { python="$$one"; break; }; done; \
	[ -n "$$python" ] || { echo "Python 3.11, 3.12 or 3.13 is needed, and $(or $(strip $(PYTHON)),python3) is none of" \
	  "them. Set PYTHON=/path/to/python"; exit 1; }; \
	[ "$(ACCELERATOR)" = cpu ] || [ "$$(uname -sm)" = "Linux x86_64" ] || { echo "ACCELERATOR=cuda:" \
	  "requirements-cuda.lock is for x86-64 Linux, this is $$(uname -sm). Leave ACCELERATOR out"; exit 1; }; \
	if [ -n "$(INSTALLED)" ] && [ "$(INSTALLED)" != "$(ACCELERATOR)" ]; then \
	  echo ".venv was built for $(INSTALLED) and is built anew for $(ACCELERATOR)." \
	    "ACCELERATOR=$(INSTALLED) in the environment keeps it"; \
	  clear=--clear; \
	elif [ -x $(PY) ]; then \
	  version='import sys; print(*sys.version_info[:2])'; \
	  [ "$$($(PY) -c "$$version")" = "$$("$$python" -c "$$version")" ] || clear=--clear; \
	fi; \
	rm -f $@; "$$python" -m venv $$clear .venv
	$(PY) -m pip install -q --disable-pip-version-check uv==0.13.9
	@# A lock is for x86-64 Linux and complete, hence --no-deps. Elsewhere uv resolves pyproject.toml anew,
	@# vLLM is left out and the recipe's engine `auto` samples with transformers.
	@if [ "$$(uname -sm)" = "Linux x86_64" ]; then \
	  $(UV) pip install -q --python $(PY) --no-deps -r $(LOCK); \
	else \
	  $(UV) pip install -q --python $(PY) -r pyproject.toml --group dev; \
	fi
	@[ "$$(uname -sm)" != "Linux x86_64" ] || $(PY) .ci/torch_build.py $(ACCELERATOR)
	@echo $(ACCELERATOR) > $@

# Needs a CPU build of torch 2.13.0 for each Python, from its own index or the folder in PIP_FIND_LINKS; none is installed.
# UPGRADE=--upgrade takes the newest of everything, UPGRADE="--upgrade-package NAME" of one.
lock:
	$(PY) .ci/lock.py cpu $(UPGRADE)
	env -u UV_TORCH_BACKEND -u UV_FIND_LINKS $(PY) .ci/lock.py cuda $(UPGRADE)

clean:
	rm -rf .venv runs
