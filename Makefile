# Each target works alone in a fresh clone, and all that it writes lies in this folder.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CACHE := $(CURDIR)/.cache

export XDG_CACHE_HOME := $(CACHE)
export MPLCONFIGDIR := $(CACHE)/matplotlib
export TMPDIR := $(CACHE)/tmp
export PIP_NO_CACHE_DIR := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHONNOUSERSITE := 1

# Small sizes, to see that the measures run; run a script yourself for figures.
BENCH_cube := --size 512 --dates 4 --repeats 1
BENCH_omnibus := --size 256 --dates 10 20 --repeat 1
BENCH_monitor := --areas 32 48 --growth-years 0.8 --series 0.8 0.9
BENCH_transfer := --batch 1 --windows 2 --steps 8
BENCH_unet := --preset tiny --size 64 --repeat 1 --precision float32 bfloat16
BENCH_tfrecord := --size 128 --repeat 1
BENCH_labels := --size 96 --years 1.6 --few 1
BENCH_urban := --strides 5 --frames 90 --repeat 1 --few 2
BENCH_peers := --methods robust last-raw --size 64
BENCH_expected := --size 128
BENCH_inject := --size 256 --repeats 3
BENCH_evaluate := --samples 1 --size 256 --repeat 1
BENCH_detect := --sizes 200 --dates 12 --memory 1GiB --methods robust omnibus
BENCH_reading := --size 96 --years 1.8 --naive 2 --repeat 1
BENCH_build := --size 256 --dates 3 --repeats 1
BENCH_resampling := --repeats 1
BENCH_scheduler := --size 64 --years 0.8 --tile 48 --block 96 --repeats 1
BENCH_samples := --size 64 --samples 4 --repeat 1 --networks conditioned unet --steps 1
BENCHES := $(patsubst benchmarks/bench_%.py,%,$(sort $(wildcard benchmarks/bench_*.py)))

.PHONY: help demo test lint bench clean room

help:
	@echo "make demo    simulate a place, find its changes, write maps and a report to demo/"
	@echo "make test    all checks: style, types, doctests and tests"
	@echo "make lint    style and types only"
	@echo "make bench   the measures in benchmarks/, at small sizes"
	@echo "make clean   remove everything that these commands made"

demo: $(STAMP) | room
	$(BIN)/terradelta demo --out demo

lint: $(STAMP) | room
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

test: lint
	@rm -rf $(TMPDIR)/test && mkdir $(TMPDIR)/test
	TMPDIR=$(TMPDIR)/test $(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

bench: $(STAMP) | room
	@$(foreach name,$(BENCHES),echo "== $(name)"; $(BIN)/python benchmarks/bench_$(name).py $(BENCH_$(name));)

clean:
	rm -rf $(VENV) $(CACHE) demo build dist src/*.egg-info .benchmarks .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find src tests benchmarks -name __pycache__ -prune -exec rm -rf {} +

room:
	@mkdir -p $(TMPDIR)

# made anew where it is missing or broken, completed where the lists of packages are newer
$(STAMP): pyproject.toml constraints.txt requirements.txt | room
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "terradelta needs Python 3.11 or newer as $(PYTHON); name another one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2> /dev/null || \
		{ echo "$(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip --version > /dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@echo "installing packages into $(VENV) (a few minutes the first time)"
	@$(BIN)/python -m pip install --quiet --requirement requirements.txt
	@touch $@
