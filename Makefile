# The doors of the project; `make help` lists them. Needed: Python 3.11+, git, make. All that is installed goes into .venv.
# Every path is relative, so that the folder may have any name.

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input --quiet --quiet
PYTEST_ARGS ?= -n 2

export PIP_ROOT_USER_ACTION := ignore
unexport PYTHONHOME PYTHONPATH

.DEFAULT_GOAL := help
.PHONY: help demo test lint check clean

help:
	@echo "make demo    install what the demo needs into .venv, then run three experiments on real data (results in demo/results/)"
	@echo "make test    install what the tests need into .venv, then run all tests (PYTEST_ARGS='-k word' goes to pytest)"
	@echo "make lint    style and types only"
	@echo "make check   lint, format, types and all tests: what a change must pass"
	@echo "make clean   remove .venv, caches and the demo's results"

demo: .venv/demo.done
	@echo "Running the experiments of demo/config/, one after another: kladml run config/"
	@cd demo && ../$(BIN)/kladml run config/
	@echo
	@echo "Each run left its config, log, metrics, checkpoints, model and result.json in demo/results/NAME/."
	@echo "Next, try:"
	@echo "  cd demo && . ../.venv/bin/activate"
	@echo "  kladml ls                     what ran, how it ended, the best metric"
	@echo "  kladml show digits            one run in detail"
	@echo "  edit config/digits.json       then run again: only what changed runs"
	@echo "  kladml run config/"

test: .venv/dev.done
	@echo "Running all tests."
	@$(BIN)/python -m pytest $(PYTEST_ARGS)
	@echo "All tests passed."

lint: .venv/dev.done
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check .
	@$(BIN)/python -m mypy

check: .venv/dev.done
	@scripts/check $(PYTEST_ARGS)

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis demo/results demo/mlflow.db*

.venv/made.done: scripts/venv
	@PYTHON='$(PYTHON)' sh scripts/venv .venv
	@touch $@

# torch comes first and alone: with the version settled, nothing that depends on it makes pip choose another, larger build.
# On a machine without a GPU, PIP_EXTRA_INDEX_URL with the address of PyTorch's CPU packages makes this much smaller.
.venv/torch.done: requirements-dev.txt | .venv/made.done
	@echo "Installing torch into .venv (the largest part; some minutes on a slow line)."
	@$(PIP) install "$$(grep '^torch==' requirements-dev.txt)"
	@touch $@

.venv/demo.done: pyproject.toml .venv/torch.done
	@echo "Installing kladml and what the demo needs into .venv."
	@$(PIP) install --constraint requirements-dev.txt --editable '.[demo]'
	@touch $@

.venv/dev.done: requirements-dev.txt .venv/demo.done
	@echo "Installing what the tests and checks need into .venv."
	@$(PIP) install --requirement requirements-dev.txt
	@touch $@
