# `make help` lists the targets. Everything runs in .venv, which the first target makes; a new lock of versions renews it.
PYTHON ?= python3
BIN := .venv/bin
STORE ?= audits
SERVE ?= 1
PORT ?= 8501
RUN_OPTIONS ?=
BENCH_STORE ?= bench_store
TEST_PROCESSES ?= 3

# uv installs five times as fast as pip; where it cannot reach the index that pip is told of, pip does it.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
INSTALL = { $(PIP) uv==0.13.9 && $(BIN)/uv pip install --quiet --python $(BIN)/python -r $(1); } || $(PIP) -r $(1)

.DEFAULT_GOAL := help
.PHONY: help setup demo audit dashboard test lint format bench bench-gpu bench-suspects bench-dashboard torture load fuzz determinism audit-deps pictures clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: .venv/.installed ## make .venv and install what is needed to run

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is %d.%d; try make PYTHON=python3.11" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv

.venv/.installed: requirements.txt | .venv/bin/python
	@$(call INSTALL,requirements.txt)
	@touch $@

.venv/.installed-dev: requirements-dev.txt .venv/.installed
	@$(call INSTALL,requirements-dev.txt)
	@touch $@

demo: setup ## audit the built-in demo and open the dashboard (SERVE=0: do not open)
	$(BIN)/python -m jobs demo --store $(STORE)
ifneq ($(SERVE),0)
	$(BIN)/python -m dashboard --store $(STORE) --port $(PORT)
endif

audit: setup ## audit your data: make audit DATA=photos MODEL=timm:vit_base_patch16_224 [RUN_OPTIONS="--target both"]
	@test -n "$(DATA)" -a -n "$(MODEL)" || { echo 'usage: make audit DATA=folder-or-manifest MODEL=timm:NAME [RUN_OPTIONS="..."]' >&2; exit 2; }
	$(BIN)/python -m jobs run --data "$(DATA)" --model "$(MODEL)" --store "$(STORE)" $(RUN_OPTIONS)
ifneq ($(SERVE),0)
	$(BIN)/python -m dashboard --store "$(STORE)" --port $(PORT)
endif

dashboard: setup ## open the dashboard on what is in the store
	$(BIN)/python -m dashboard --store $(STORE) --port $(PORT)

test: .venv/.installed-dev ## the whole test suite, in three processes (TEST_PROCESSES=0: in one, as python -m pytest does)
	@tests/chromium.sh
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

lint: .venv/.installed-dev ## ruff (lint and format) and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/.installed-dev ## let ruff put everything in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/.installed-dev ## measure the engine against its limit and its peers, pairs, precision, memory, a whole job (about an hour)
	$(BIN)/python benchmarks/engine.py --json benchmarks/results/engine.json
	$(BIN)/python benchmarks/detr.py --json benchmarks/results/detr.json
	$(BIN)/python benchmarks/methods.py --json benchmarks/results/methods.json
	$(BIN)/python benchmarks/suspects_scale.py --json benchmarks/results/suspects_scale.json
	$(BIN)/python benchmarks/pairs.py --json benchmarks/results/pairs.json
	$(BIN)/python benchmarks/pair_evidence.py --json benchmarks/results/pair_evidence.json
	$(BIN)/python benchmarks/precision.py --json benchmarks/results/precision.json
	$(BIN)/python benchmarks/memory.py --json benchmarks/results/memory.json
	$(BIN)/python benchmarks/job.py --json benchmarks/results/job.json
	$(BIN)/python benchmarks/perturbation.py --json benchmarks/results/perturbation.json
	$(BIN)/python benchmarks/faithfulness.py --samples 100 --json benchmarks/results/faithfulness.json

bench-gpu: .venv/.installed-dev ## measure a CUDA GPU: its rate, the engine, both kernels, a job, and its tests (eight minutes)
	$(BIN)/python benchmarks/gpu.py --json benchmarks/results/gpu.json

bench-suspects: .venv/.installed-dev ## measure the search for suspects on generated datasets (about an hour)
	$(BIN)/python benchmarks/suspects.py --settings 178 --json benchmarks/results/suspects.json

bench-dashboard: .venv/.installed-dev ## measure the dashboard on a million samples (2.3 GB in BENCH_STORE, about an hour)
	$(BIN)/python benchmarks/dashboard_scale.py --make $(BENCH_STORE)
	$(BIN)/python benchmarks/dashboard_scale.py $(BENCH_STORE) --json benchmarks/results/dashboard_scale.json
	$(BIN)/python benchmarks/dashboard_scale.py $(BENCH_STORE) --pages --json benchmarks/results/dashboard_pages.json

torture: .venv/.installed-dev ## kill jobs at random moments, a hundred times, and count what is lost (about 20 minutes)
	$(BIN)/python -m tests.reliability.torture --kills 100 --json benchmarks/results/torture.json

load: .venv/.installed-dev ## twenty browsers at the dashboard for five minutes while a job writes
	@tests/chromium.sh
	$(BIN)/python -m tests.reliability.load --sessions 20 --minutes 5 --json benchmarks/results/load.json

fuzz: .venv/.installed-dev ## a hundred thousand broken and hostile inputs (about 20 minutes)
	PYTHONPATH=.:tests $(BIN)/python -m tests.reliability.fuzz --inputs 100000 --minutes 60 --json benchmarks/results/fuzz.json

determinism: .venv/.installed-dev ## how far results move when only the way they are computed changes
	$(BIN)/python -m tests.reliability.determinism --json benchmarks/results/determinism.json

audit-deps: ## look for known vulnerabilities of the pinned requirements (needs a network)
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/python -m pip install --quiet pip-audit
	.venv-audit/bin/pip-audit -r requirements.txt --no-deps --disable-pip

pictures: .venv/.installed-dev ## draw the pictures of the documents anew: every method, and the first suspects of the demo
	$(BIN)/python docs/methods_picture.py
	$(BIN)/python -m jobs demo --store $(STORE)
	$(BIN)/python docs/suspects_picture.py $(STORE)
	$(BIN)/python docs/suspects_picture.py $(STORE) $$(ls $(STORE)/runs | grep pairs | tail -1) docs/img/pair_suspects.png
	$(BIN)/python docs/dashboard_pictures.py $(STORE)

clean: ## remove .venv, caches and the demo's data
	rm -rf .venv .venv-audit .mypy_cache .ruff_cache .pytest_cache demo_data
