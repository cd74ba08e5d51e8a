# Two commands on a fresh machine: `make demo` and `make test`. Each sets up what it needs; a second run is quick.
#
#   make demo    synthetic clips and one real DICOM clip -> segmented Slicer scenes and reports in demo_output/
#   make test    every test that runs without the Slicer application
#   make lint    ruff and mypy
#   make bench   the figures of the README and of docs, measured here, as ratios
#
# PYTHON chooses the interpreter (3.11 or later), PIP_ARGS adds options for pip, for instance the index of
# CPU-only torch builds.

PYTHON ?= python3
VENV ?= .venv
PIP_ARGS ?=
EXTRAS ?= scene,video,codecs,refine,train,dev
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-without-torch bench lint format setup demo-model demo-clicks proof clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip $(PIP_ARGS)
	# torch first and alone: asked for together with the rest, pip would prefer a newer build with gigabytes of CUDA.
	$(BIN)/python -m pip install --quiet -c constraints.txt torch $(PIP_ARGS)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[$(EXTRAS)]' $(PIP_ARGS)
	touch $@

demo: $(READY)
	$(BIN)/fetalecho demo --out demo_output

test: $(READY)
	$(BIN)/python -m pytest Testing/unit Testing/scene Testing/panel

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)
	$(BIN)/python Testing/benchmarks/run_all.py --out bench_output

# Trains the bundle in Resources/Models again, from the phantom, in about 75 minutes on one core.
demo-model: $(READY)
	$(BIN)/python -m FetalEchoTrainLib.demo_model --out Resources/Models/demo-tiny --work build/demo-model

# Trains Resources/Models/demo-clicks again, which answers clicks, from the same phantom, in about two hours on one core.
demo-clicks: $(READY)
	$(BIN)/python -m FetalEchoTrainLib.demo_promptable --out Resources/Models/demo-clicks --work build/demo-model

# Trains 24 small networks, in about five hours of one core, and writes docs/proof again; ended early, it goes on.
proof: $(READY)
	$(BIN)/python Testing/benchmarks/proof.py --work build/proof --out docs/proof

# The part of the core that needs no torch, for interpreters without a torch build (PYTHON=python3.12).
test-without-torch:
	test -x $(VENV)-light/bin/python || $(PYTHON) -m venv $(VENV)-light
	$(VENV)-light/bin/python -m pip install --quiet -c constraints.txt -r Testing/light-requirements.txt $(PIP_ARGS)
	$(VENV)-light/bin/python -m pip install --quiet --no-deps -e . $(PIP_ARGS)
	$(VENV)-light/bin/python -m pytest Testing/unit

clean:
	rm -rf $(VENV) $(VENV)-light build demo_output bench_output
