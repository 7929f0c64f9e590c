# Everything runs inside .venv/, which `make install` creates from pyproject.toml and the versions
# pinned in constraints.txt. Needed beforehand: make, and Python 3.11 or newer with its venv module.

PYTHON ?= python3
# More options for pip, e.g. PIP_FLAGS="--extra-index-url https://download.pytorch.org/whl/cpu"
# on Linux without a GPU, where the default torch brings gigabytes of CUDA libraries.
PIP_FLAGS ?=
# More arguments for the command behind a target, e.g. make test ARGS="-k drawings -x"
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
# Bound to hardware rather than to curate: torch pins the ones it needs itself.
PLATFORM_PACKAGES := ^(nvidia-|cuda-|triton==)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo test check format bench wheel lock clean distclean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(STAMP) ## Create .venv/ with curate and the pinned tools; skipped when up to date

$(STAMP): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { \
	  echo "$(PYTHON) was not found; install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "curate needs Python 3.11 or newer, but $(PYTHON) is $$($(PYTHON) -V 2>&1); name another: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --disable-pip-version-check $(PIP_FLAGS) -c constraints.txt -e '.[dev,train]'
	touch $(STAMP)

demo: install ## Draw a small pool, filter it, say what was kept and dropped
	$(BIN)/curate demo $(ARGS)

# One thread per process: the tests start several processes, which would fight for the cores.
test: install ## Run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(ARGS)

check: install ## Lint, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install ## Put the code in its standard form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install ## Measure memory over many shards (minutes)
	$(BIN)/python benchmarks/memory.py $(ARGS)

wheel: install ## Build the wheel and the source archive into dist/
	$(BIN)/python -m build $(ARGS)

lock: ## Write constraints.txt from what .venv/ holds now, after trying newer versions in it
	{ echo "# The tested set, written by 'make lock'. Hardware packages are left to torch."; \
	  $(BIN)/pip freeze --exclude-editable | grep -Ev '$(PLATFORM_PACKAGES)' \
	  | sed 's/+c[pu0-9.]*$$//' | LC_ALL=C sort -f; } > constraints.new
	mv constraints.new constraints.txt

clean: ## Remove caches and build outputs
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
	find . -path ./$(VENV) -prune -o -type d -name __pycache__ -exec rm -rf {} +

distclean: clean ## Remove the environment as well
	rm -rf $(VENV)
