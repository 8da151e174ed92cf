# Two commands for a stranger: `make demo` and `make test`. Both set up all that they need in .venv, without root.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo serve test test-slow bench lint clean setup setup-dev

demo: setup ## a procedural camera, three questions, the answers beside the truth
	@$(BIN)/omnilive demo $(if $(SEED),--seed $(SEED))

serve: setup ## the server, until Ctrl-C
	@$(BIN)/omnilive serve

test: setup-dev lint ## everything that CI checks
	$(BIN)/python -m pytest --cov --cov-report=term:skip-covered

test-slow: setup-dev ## the long forms
	$(BIN)/python -m pytest --slow --timeout 3600

bench: setup-dev ## every benchmark in its quick profile
	$(BIN)/omnilive bench all

lint: setup-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

setup: $(VENV)/.installed
setup-dev: $(VENV)/.installed-dev

# The stamps depend on pyproject.toml alone, so that a second run starts at once.
$(VENV)/.installed: pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[cpu]'
	@touch $@

$(VENV)/.installed-dev: pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) *.egg-info .mypy_cache .ruff_cache .pytest_cache .coverage artefacts
