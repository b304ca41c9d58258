# Each target sets up everything it needs on a new machine with Python 3.11 or newer.
PYTHON ?= python3
VENV ?= .venv
comma := ,
PIP = $(VENV)/bin/python -m pip --disable-pip-version-check
# Number of parallel test processes; each uses one thread, and so one core.
JOBS ?= 2
export OMP_WAIT_POLICY ?= passive
# Modules are compiled when they are first imported, not all of them when they are installed: half a minute less. torch
# is imported, and so compiled, while the second core has nothing to do.
unexport PYTHONDONTWRITEBYTECODE
# `dev` installs everything that the other targets need; if it is installed, nothing else is.
installed = $(VENV)/.$(if $(wildcard $(VENV)/.dev),dev,$1)

.PHONY: demo test check docs clean

demo: $(call installed,demo)
	$(VENV)/bin/mematlas demo --out demo

test: export OMP_NUM_THREADS ?= 1
test: export TOKENIZERS_PARALLELISM ?= false
test: export POLARS_MAX_THREADS ?= 1
test: $(call installed,test)
	$(VENV)/bin/python -m pytest -q -n $(JOBS) --dist loadscope --no-loadscope-reorder

check: $(VENV)/.dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/python tools/licences.py
	$(VENV)/bin/python tools/structure.py

docs: $(call installed,docs)
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -q --upgrade pip

$(VENV)/.%: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) install -q --no-compile -c constraints.txt torch
	$(VENV)/bin/python -c "import torch._dynamo" 2>/dev/null & \
	$(PIP) install -q --no-compile -c constraints.txt -e ".[$(if $(filter demo,$*),hf$(comma)report,$*)]"
	touch $@

clean:
	rm -rf $(VENV) demo site
