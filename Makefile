# Everything runs in .venv, from pinned packages. `make demo` and `make test` need nothing but make and Python.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The first of these that is new enough; `make PYTHON=/path/to/python test` chooses another.
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
SOURCES := src examples tests bench hatch_build.py
COMPILED := $(CURDIR)/.compiled
# Whatever runs workers; the rest has nothing to do with what is compiled.
COMPILED_TESTS := $(addprefix tests/,analytics channel chaos connectors damage dead_letters engine event_time slot state \
	supervisor sweep testing windows)

.PHONY: help demo test compiled wheels test-compiled test-surroundings test-busy bench lint format pins clean

help:
	@echo 'make demo           run the example pipeline on sample data'
	@echo 'make test           run the tests            (PYTEST_ARGS="-n 4 --dist loadfile" passes on)'
	@echo 'make compiled       a compiled copy in .compiled, for PYTHONPATH (needs a C compiler)'
	@echo 'make wheels         wheels in dist: compiled, for each Python that is there, and one of Python alone'
	@echo 'make test-compiled  the tests of what is compiled there'
	@echo 'make test-surroundings  the tests with few descriptors, in another time zone and a plain locale'
	@echo 'make test-busy      the tests while every core is busy'
	@echo 'make bench          measure the short set, in under 3 minutes (bench/README.md describes the long one)'
	@echo 'make lint           ruff, mypy --strict, import layers'
	@echo 'make format         let ruff fix what it can'
	@echo 'make pins           choose new versions for requirements/ (needs uv)'
	@echo 'make clean          remove .venv and caches'

demo: $(VENV)/.for-use
	@$(BIN)/penstock demo $(DEMO_ARGS)

test: $(VENV)/.for-work
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

compiled: $(COMPILED)/.made

# Names on the PATH or of uv, or paths. What is not there is skipped, and told.
WHEEL_PYTHONS ?= python3.11 python3.12 python3.13 python3.14
wheels: $(VENV)/.for-work
	@.ci/wheels $(WHEEL_PYTHONS)

# Each kind of run once is enough, so the compiled one has the odd zone and locale.
test-compiled: compiled
	@$(ODD); PYTHONPATH=$(COMPILED) $(BIN)/python -m pytest $(PYTEST_ARGS) $(COMPILED_TESTS)

# What users have around them and developers have not: few descriptors, a zone with summer time, no UTF-8 locale.
ODD := export TZ=America/New_York LC_ALL=C PYTHONHASHSEED=random
test-surroundings: $(VENV)/.for-work
	@ulimit -n 1024; $(ODD); $(BIN)/python -m pytest $(PYTEST_ARGS)

# A test that fails here alone takes a moment for a condition, or the product does.
test-busy: $(VENV)/.for-work
	@busy=; for core in $$(seq $$(nproc)); do (while :; do :; done) & busy="$$busy $$!"; done; \
		trap "kill $$busy" EXIT; $(BIN)/python -m pytest $(PYTEST_ARGS)

# Compiled; as Python where no C compiler is. The line under each table says which.
BENCH := PYTHONPATH=$(COMPILED) $(BIN)/python
bench: $(VENV)/.for-work $(if $(shell command -v cc),compiled)
	$(BENCH) bench/throughput.py w1 --short --rounds 3
	$(BENCH) bench/throughput.py w2 --short --rounds 3
	$(BENCH) bench/throughput.py columns --short --rounds 3
	$(BENCH) bench/latency.py --short --rounds 1
	$(BENCH) bench/start.py --short
	$(BENCH) bench/idle.py --short
	$(BENCH) bench/recovery.py --short
	$(BENCH) bench/kill_matrix.py --short
	$(BENCH) bench/backpressure.py --short

lint: $(VENV)/.for-work
	$(BIN)/ruff check $(wildcard $(SOURCES))
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.for-work
	$(BIN)/ruff check --fix $(wildcard $(SOURCES))

# The stamps are older than what they depend on only when something has to be installed again.
$(VENV)/.for-use: requirements/standard.txt pyproject.toml $(VENV)/.made
	@echo 'installing what penstock needs to run ...'
	@$(PIP) install --require-hashes -r requirements/standard.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.for-work: requirements/dev.txt pyproject.toml $(VENV)/.made
	@echo 'installing what the tests need ...'
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

# What a compiled wheel holds, beside the checkout: PYTHONPATH chooses between the two.
$(COMPILED)/.made: $(VENV)/.for-work pyproject.toml hatch_build.py $(shell find src -name '*.py')
	@echo 'compiling ...'
	@rm -rf $(COMPILED)
	@PENSTOCK_COMPILE=1 $(BIN)/python -m hatchling build --target wheel --directory $(COMPILED)/wheel
	@$(PIP) install --no-deps --target $(COMPILED) $(COMPILED)/wheel/*.whl
	@touch $@

$(VENV)/.made:
	@if [ "$$(uname -s)" != Linux ]; then \
		echo 'penstock runs on Linux only: use a Linux machine, a container, or WSL 2' >&2; exit 1; fi
	@if [ -z '$(PYTHON)' ]; then \
		echo 'penstock needs Python 3.11 or newer, and none was found;' \
			'install it (Debian, Ubuntu: apt install python3 python3-venv)' \
			'or name it: make PYTHON=/path/to/python3.11 ...' >&2; exit 1; fi
	@if ! $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
		echo '$(PYTHON) is no Python 3.11 or newer;' \
			'name another one: make PYTHON=/path/to/python3.11 ...' >&2; exit 1; fi
	@if ! $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then \
		echo '$(PYTHON) lacks the venv module; install it' \
			'(Debian, Ubuntu: apt install python3-venv)' >&2; exit 1; fi
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

# The index that was asked leaves no trace in these files.
PIN := uv pip compile pyproject.toml --quiet --upgrade --generate-hashes --no-header --no-annotate \
	--no-emit-index-url --no-emit-find-links --python-version 3.11 --python-platform x86_64-manylinux_2_28
pins:
	$(PIN) --extra all --group dev --output-file requirements/dev.txt
	$(PIN) --extra standard --group build --constraint requirements/dev.txt --output-file requirements/standard.txt

clean:
	rm -rf $(VENV) $(COMPILED) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache dist
