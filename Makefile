# Targets that set up all they need on a fresh machine with Python 3.11 or newer.
PYTHON ?= python3
VENV ?= .venv
comma := ,
PIP = $(VENV)/bin/python -m pip --disable-pip-version-check
export OMP_WAIT_POLICY ?= passive
export TOKENIZERS_PARALLELISM ?= false

.PHONY: demo test check docs clean

demo: $(VENV)/.demo
	$(VENV)/bin/mematlas demo --out demo

test: $(VENV)/.test
	$(VENV)/bin/python -m pytest -q

check: $(VENV)/.dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/python tools/licences.py

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.%: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) install -q -c constraints.txt torch
	$(PIP) install -q -c constraints.txt -e ".[$(if $(filter demo,$*),hf$(comma)report,$*)]"
	touch $@

clean:
	rm -rf $(VENV) demo site
