# make curate   the starter run, end to end and real       make test    every test (vLLM and Prefect for real)
# make check    linters, types, layers, fast tests         make clean   remove .venv and runs/
.PHONY: curate test check fast format lock clean

PYTHON311 ?= $(shell command -v python3.11 || command -v python3)
PY := .venv/bin/python
UV := .venv/bin/uv

# A folder of wheels that pip was told of holds the CPU build of torch; elsewhere uv finds that build itself.
ifneq ($(strip $(PIP_FIND_LINKS)),)
  export UV_FIND_LINKS := $(PIP_FIND_LINKS)
else
  export UV_TORCH_BACKEND ?= cpu
endif

# Fast tests go side by side. Slow ones take all cores themselves: vLLM beside vLLM is ten times slower, not twice.
TOGETHER := -n auto --maxprocesses 4 --dist loadfile

curate: .venv/ready
	$(PY) -m flows.curate

check: .venv/ready
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	$(PY) -m flows.data_cards --check
	$(PY) -m pytest -q -m "not slow" $(TOGETHER)

fast: .venv/ready
	$(PY) -m pytest -q -m "not slow" $(TOGETHER)

test: .venv/ready
	$(PY) -m pytest -m "not slow" $(TOGETHER)
	$(PY) -m pytest -m slow

format: .venv/ready
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

.venv/ready: requirements.lock
	@command -v $(PYTHON311) >/dev/null || { echo "Python 3.11 is needed: none found as python3.11"; exit 1; }
	@$(PYTHON311) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "Python 3.11 is needed, found $$($(PYTHON311) -V). Set PYTHON311=/path/to/python3.11"; exit 1; }
	$(PYTHON311) -m venv .venv
	$(PY) -m pip install -q --disable-pip-version-check uv==0.13.9
	@# The lock is for x86-64 Linux and complete, hence --no-deps. Elsewhere uv resolves pyproject.toml anew,
	@# vLLM is left out and the recipe's engine `auto` samples with transformers.
	@if [ "$$(uname -sm)" = "Linux x86_64" ]; then \
	  $(UV) pip install -q --python $(PY) --no-deps -r requirements.lock; \
	else \
	  $(UV) pip install -q --python $(PY) -r pyproject.toml --group dev; \
	fi
	@touch $@

# --find-links must reach a CPU build of torch 2.13.0; the local version label is cut so that any CPU build fits.
lock:
	$(UV) pip compile pyproject.toml --group dev --no-header --no-annotate -q -o requirements.lock
	sed -i 's/^torch==2.13.0+cpu/torch==2.13.0/' requirements.lock

clean:
	rm -rf .venv runs
