# Each target is a thin alias of one command and makes its own virtual environment when it is missing or stale.
#   make quickstart      the comparison on the small data set that comes with the package; ends with report.html
#   make test            all tests and the examples in the docstrings
#   make bench           speed and memory against named peers
#   make bench-label-efficiency   every table on few pairs, from its rows; runs what they lack
#   make bench-bridge FILE=rows.npz   an index moved to a new model; runs what the rows lack
#   make hostile         spoiled files, flipped bits, kills, full disks, other device counts: hours; ARGS="fuzz --cases 500" for one
#   make lint            ruff
#   make format          ruff again, which repairs what it can
#   make types           pyright on the public names and the example programs
#   make notebook        notebooks from their .py sources, run
# Another environment: make test VENV=.venv312 PYTHON=python3.12

VENV ?= .venv
PYTEST_ARGS ?= -n 2 --dist loadfile --max-worker-restart 1
ARGS ?=

# A python3.12 on the path may be a shim that exists and fails, so every candidate must really run.
OURS = import ensurepip, sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))
PYTHON ?= $(shell for p in python3.12 python3.11 python3; do \
	if $$p -c '$(OURS)' </dev/null >/dev/null 2>&1; then echo $$p; break; fi; done)

RUN = $(VENV)/bin/python
INSTALL = $(RUN) -m pip install --quiet --quiet --disable-pip-version-check
SETUP = pyproject.toml setup.py

.PHONY: quickstart test bench bench-bridge bench-label-efficiency hostile lint format types notebook clean
.DEFAULT_GOAL := quickstart

quickstart: $(VENV)/.installed-plots
	$(VENV)/bin/gera-jax quickstart $(ARGS)

test: $(VENV)/.installed-dev
	$(RUN) -m pytest $(PYTEST_ARGS)

bench: $(VENV)/.installed-dev
	$(RUN) -m benchmarks $(ARGS)

bench-label-efficiency: $(VENV)/.installed-dev
	$(RUN) -m benchmarks.label_efficiency_tables $(ARGS)

bench-bridge: $(VENV)/.installed-dev
	$(RUN) -m benchmarks.bridge --output benchmarks/results/bridge.jsonl $(if $(FILE),--file $(FILE)) $(ARGS)

hostile: $(VENV)/.installed-dev
	$(RUN) -m benchmarks.hostile $(ARGS)

lint: $(VENV)/.installed-dev
	$(RUN) -m ruff check .

format: $(VENV)/.installed-dev
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

types: $(VENV)/.installed-dev
	$(RUN) -m pyright --pythonpath $(RUN)

notebook: $(VENV)/.installed-dev
	$(VENV)/bin/jupytext --to ipynb notebooks/*.py
	$(RUN) -m pytest --nbmake --nbmake-timeout=600 --override-ini=addopts= notebooks/

$(VENV)/.made:
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or 3.12 that runs was found; give one: make PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed-plots: $(VENV)/.made $(SETUP)
	$(INSTALL) --editable ".[plots]"
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.made $(SETUP)
	$(INSTALL) --editable ".[dev]"
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info
