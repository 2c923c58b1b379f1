# `make demo` and `make test` need nothing but Python 3.11 to 3.13: everything else is installed into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --constraint constraints.txt

.PHONY: demo test browser terminal fuzz screenshots check lint types imports format clean

demo: $(VENV)/.base
	$(BIN)/surrogateshap apply specs/digits.toml --yes
	$(BIN)/surrogateshap show specs/digits.toml --game "contributor / recognisable"

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n logical

# The HTML report and the terminal UI in Chromium, which must be installed with its chromedriver.
browser: $(VENV)/.dev
	$(BIN)/python -m pytest -m browser tests/browser

# The terminal UI in a terminal, which tmux, which must be installed, stands in for.
terminal: $(VENV)/.dev
	$(BIN)/python -m pytest -m terminal tests/terminal

# Strangers' specs and records, with bytes guided by what they reach: atheris is for Linux on x86-64.
fuzz: $(VENV)/.dev
	$(BIN)/python -m pytest -m fuzz tests/sharing

# The README's pictures of the terminal UI.
screenshots: $(VENV)/.dev
	$(BIN)/python tests/tui/screenshots.py tui/screenshots

check: lint types imports test

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

imports: $(VENV)/.dev
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.base: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) --editable .
	touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) --editable ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .surrogateshap
