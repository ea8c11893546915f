# What a person types. Each target says what is missing instead of failing somewhere inside.
.DEFAULT_GOAL := help
.PHONY: help demo test bench venv require-python require-rust

PYTHON ?= python3
VENV ?= .venv

help:
	@echo "make demo    build into $(VENV) and run examples/sweep.py as a job on a head"
	@echo "make test    every test, the same script as CI"
	@echo "make bench   the core rows of benches/core.py (needs a few minutes)"

require-python:
	@command -v $(PYTHON) >/dev/null || { echo "missing: $(PYTHON) (CPython 3.10 or newer; set PYTHON=/path/to/python)"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "missing: Python 3.10 or newer, $(PYTHON) is $$($(PYTHON) -V)"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "missing: the venv module of $(PYTHON) (on Debian: apt-get install python3-venv)"; exit 1; }

require-rust:
	@command -v cargo >/dev/null || { echo "missing: cargo and rustc 1.95 or newer (https://rustup.rs)"; exit 1; }
	@command -v cc >/dev/null || { echo "missing: a C compiler to link with (on Debian: apt-get install gcc)"; exit 1; }

venv: require-python require-rust
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)

demo: venv
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check '.[demo]'
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" examples/sweep_on_a_head.sh

test: require-python require-rust
	PYTHON=$(PYTHON) .ci/run

bench: venv
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check '.[demo]' psutil
	$(VENV)/bin/python benches/core.py --target iosdk
