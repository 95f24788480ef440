# Every target sets up what it needs: a virtual environment with the exact pins.
VENV ?= .venv
PYTHON ?= $(shell for name in python3.11 python3.12 python3 python; do \
	if $$name -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' \
	>/dev/null 2>&1; then command -v $$name; break; fi; done)
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Processes that share the tests (of one thread each) or the demo (of 1/JOBS of the cores each).
JOBS ?= 2
# How long `make fuzz` takes.
FUZZ_SECONDS ?= 600

# How much `make survive` tries: all of it, or so many times what `make test` does.
HARNESS_SURVIVE ?= whole

# Cases of `make install-matrix`; all by default. PYTHON312 names a Python 3.12 to try as well.
MATRIX ?=
PYTHON312 ?=

# Tests that start no Slurm, Ray, PostgreSQL or MLflow server; `make cluster` runs the others.
ON_ITS_OWN := not slurm and not ray and not server

.PHONY: help demo test quick cluster lint format bench fuzz survive learn install-matrix wheel clean

help:
	@echo "make demo    run two data sets of Table 1 at smoke size and print them"
	@echo "make test    lint, type-check and test everything"
	@echo "make quick   the tests that take seconds; under two minutes in all"
	@echo "make cluster what needs a Slurm, Ray or PostgreSQL here (half an hour; skipped without)"
	@echo "make lint    ruff and mypy --strict"
	@echo "make bench   paired speed benchmarks, an hour or more (docs/bench.md)"
	@echo "make fuzz    ten minutes of damaged and hostile inputs; FUZZ_SECONDS=60 for one minute"
	@echo "make survive kills, faults, flips and races, all of them (an hour)"
	@echo "make learn   pre-train all seven methods until a probe shows it (ten minutes)"
	@echo "make install-matrix  real environments that lack packages; MATRIX=light for one of them"
	@echo "make wheel   build dist/*.whl"
	@echo "make clean   remove the environment and caches (not data/, runs/ or reports/)"

# harness/__init__.py holds the version, which records name.
$(STAMP): requirements.lock pyproject.toml harness/__init__.py
	@test -n "$(PYTHON)" || { echo "Python 3.11 or 3.12 is needed; set PYTHON=/path/to/python."; exit 1; }
	"$(PYTHON)" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--no-deps --no-build-isolation --editable .
	touch $@

demo: $(STAMP)
	$(BIN)/harness run table1 --profile smoke --datasets btmd,ham10000 --jobs $(JOBS)

test: lint
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m "$(ON_ITS_OWN)"

quick: $(STAMP)
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m "not slow and $(ON_ITS_OWN)"

cluster: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not ($(ON_ITS_OWN))"

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)
	$(BIN)/python -m bench

# Every reader of strangers' files gets inputs that were made or damaged at random.
fuzz: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.survival.fuzz --seconds $(FUZZ_SECONDS)

survive: $(STAMP)
	HARNESS_SURVIVE=$(HARNESS_SURVIVE) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal tests/survival tests/store/test_claim.py tests/cluster/test_hosts.py tests/data/test_placing.py

learn: $(STAMP)
	HARNESS_LEARN=whole $(BIN)/python -m pytest -n $(JOBS) tests/methods/baselines/test_learning.py

install-matrix: $(STAMP)
	$(BIN)/python -m tests.install.matrix $(MATRIX) $(if $(PYTHON312),--python312 "$(PYTHON312)")

wheel: $(STAMP)
	$(BIN)/python -m hatchling build -t wheel

clean:
	rm -rf $(VENV) dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
