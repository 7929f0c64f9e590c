# Everything runs inside .venv/, which `make install` creates from pyproject.toml and the versions
# pinned in constraints.txt. Needed beforehand: make, and Python 3.11 or newer with its venv module.

PYTHON ?= python3
# More options for pip, e.g. PIP_FLAGS="--extra-index-url https://download.pytorch.org/whl/cpu"
# on Linux without a GPU, where the default torch brings gigabytes of CUDA libraries.
PIP_FLAGS ?=
# More arguments for the command behind a target, e.g. make test ARGS="-k drawings -x"
ARGS ?=
# How many test modules run side by side; 0 for none but one, in one process
TEST_PROCESSES ?= 2

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
# Bound to hardware rather than to curate: torch pins the ones it needs itself.
PLATFORM_PACKAGES := ^(nvidia-|cuda-|triton==)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo test check format bench chaos docs fuzz minicomp paper wheel lock clean distclean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(STAMP) ## Create .venv/ with curate and the pinned tools; skipped when up to date

$(STAMP): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { \
	  echo "$(PYTHON) was not found; install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "curate needs Python 3.11 or newer, but $(PYTHON) is $$($(PYTHON) -V 2>&1); name another: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --disable-pip-version-check $(PIP_FLAGS) -c constraints.txt -e '.[dev,docs,train]'
	touch $(STAMP)

demo: install ## Draw a small pool, filter it, say what was kept and dropped
	$(BIN)/curate demo $(ARGS)

# Whole modules side by side, the longest first (tests/conftest.py): most of the time is waiting for
# Ray to start. One thread per process, lest they fight for the cores.
test: install ## Run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile \
	  --no-loadscope-reorder --max-worker-restart=0 $(ARGS)

check: install ## Lint, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install ## Put the code in its standard form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# What docs/fidelity.md shows: train the models that are missing, analyse them, keep the results.
# Needs the real pairs in PAIRS; half an hour on two cores. Table 1 shows pictures, and stays out.
PAIRS ?= ../shared/data
MODELS := runs/models
paper: install ## Redo the paper's analyses with the project's own models into docs/fidelity/
	for name in siglip-normalised siglip-unnormalised; do \
	  test -e $(MODELS)/$$name/open_clip_config.json || $(BIN)/python -P jobs/train.py \
	    --config configs/paper/train-$$name.yaml --shards $(PAIRS)/train-*.tar \
	    --cache runs/features --out $(MODELS)/$$name || exit 1; \
	done
	test -e $(MODELS)/captions-lm/config.json || $(BIN)/python -P jobs/train_language_model.py \
	  --config configs/paper/train-captions-lm.yaml --shards $(PAIRS)/train-*.tar --out $(MODELS)/captions-lm
	$(BIN)/curate paper configs/paper/own.yaml $(ARGS)
	rm -rf docs/fidelity && mkdir -p docs/fidelity
	cp runs/paper/paper/results.json runs/paper/paper/tables/*.md runs/paper/paper/figures/*.png docs/fidelity/
	rm docs/fidelity/table1.*

# Needs the real pairs that configs/minicomp.yaml names. What is finished stays in runs/minicomp, and
# is not repeated: docs/minicomp.md says what it costs.
minicomp: install ## Train on what each filter keeps of a noisy pool; the outcome into docs/minicomp.md
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/minicomp.py configs/minicomp.yaml --docs docs $(ARGS)

fuzz: install ## Read 100,000 mutated shards and pools (an hour); fewer: ARGS="--cases 2000 --seed 1"
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/fuzz.py $(ARGS)

chaos: install ## Break a cluster and its storage in 24 ways (an hour): ARGS="--points 24 --seed 7 --only node"
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/chaos.py $(ARGS)

bench: install ## Measure speed beside peers, on a quiet machine (an hour; ARGS=--quick: half)
	$(BIN)/python benchmarks/bench.py $(ARGS)

docs: install ## Render the documentation into site/: index.html opens from disk
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet $(ARGS)

wheel: install ## Build the wheel and the source archive into dist/
	$(BIN)/python -m build $(ARGS)

lock: ## Write constraints.txt from what .venv/ holds now, after trying newer versions in it
	{ echo "# The tested set, written by 'make lock'. Hardware packages are left to torch."; \
	  $(BIN)/pip freeze --exclude-editable | grep -Ev '$(PLATFORM_PACKAGES)' \
	  | sed 's/+c[pu0-9.]*$$//' | LC_ALL=C sort -f; } > constraints.new
	mv constraints.new constraints.txt

clean: ## Remove caches and build outputs
	rm -rf build dist site *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
	find . -path ./$(VENV) -prune -o -type d -name __pycache__ -exec rm -rf {} +

distclean: clean ## Remove the environment as well
	rm -rf $(VENV)
