# Everything is installed into .venv, with the versions of constraints.txt. Another Python: make PYTHON=/path/to/python3.12
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
UI_INSTALLED := .venv/ui-installed

# Where the demo is, what its storages are (directory, s3, gcs or both), and the port of its UI; without PORT it is 3000,
# or another one if that is taken.
DEMO ?= demo
STORAGE ?= directory
PORT ?=

# How much `make bench` measures: small, usual (some minutes) or full (memory with inputs of gigabytes, too).
SIZE ?= usual

.PHONY: install test lint bench demo ui screenshots

install: $(INSTALLED)

test: $(INSTALLED)
	@$(BIN)/pytest
	@$(BIN)/pytest -n 0 -m wheel tests/wheel  # apart, so that one process makes the environment that they share

lint: $(INSTALLED)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(INSTALLED)
	@$(BIN)/python -m benchmarks --size "$(SIZE)"

demo: $(INSTALLED)
	@$(BIN)/prio-assets demo --directory "$(DEMO)" --storage "$(STORAGE)"

ui: $(INSTALLED)
	@test -d "$(DEMO)/instance" || { echo "There is no $(DEMO)/instance yet: run 'make demo' first." >&2; exit 1; }
	@$(BIN)/prio-assets demo --ui --directory "$(DEMO)" $(if $(PORT),--port $(PORT))

# The pictures of docs/images, taken of the demo's UI.
screenshots: $(UI_INSTALLED)
	@test -d "$(DEMO)/instance" || { echo "There is no $(DEMO)/instance yet: run 'make demo' first." >&2; exit 1; }
	@test -x /usr/bin/chromium || { echo "There is no /usr/bin/chromium: install it (apt install chromium)." >&2; exit 1; }
	@$(BIN)/python -m tests.live.screenshots "$(DEMO)" docs/images

# Made last, so that an installation that failed or was interrupted is done again.
$(INSTALLED): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || \
	    { echo "There is no $(PYTHON): install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Python 3.11 or newer is needed, and $(PYTHON) is $$($(PYTHON) --version 2>&1):" \
	           "install a newer one, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	    { echo "$(PYTHON) cannot make virtual environments (no venv or ensurepip):" \
	           "install its venv package (Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@echo "Installing into .venv (a minute or two)" >&2
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --upgrade pip
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --build-constraint constraints.txt \
	    --group dev --editable '.[fast,emulators]'
	@touch $@

$(UI_INSTALLED): $(INSTALLED)
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --group ui
	@touch $@
