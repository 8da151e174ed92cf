# Two commands for a stranger: `make demo` and `make test`. Both set up all that they need in .venv, without root.
PYTHON ?= python3
# cpu or gpu: which FAISS is installed beside PyTorch.
EXTRA ?= cpu
VENV := .venv
BIN := $(VENV)/bin
# Two workers, each with files of its own: one test's waiting is the other's time.
PAIRED := -n 2 --dist loadfile
# A test that not even its own timeout ends (a wait inside a wait) ends the run, with the stack of every thread.
HANG := -o faulthandler_timeout=900 -o faulthandler_exit_on_timeout=true

.PHONY: demo serve test test-slow coverage bench lint clean setup setup-dev

demo: setup ## a procedural camera, three questions, the answers beside the truth
	@$(BIN)/omnilive demo $(if $(SEED),--seed $(SEED))

serve: setup ## the server, until Ctrl-C
	@$(BIN)/omnilive serve

test: setup-dev lint ## everything that CI checks
	$(BIN)/python -m pytest $(HANG) $(PAIRED) -m "not alone" --ignore tests/integration
	$(BIN)/python -m pytest $(HANG) $(PAIRED) -m "not alone" tests/integration
	$(BIN)/python -m pytest $(HANG) -m alone

test-slow: setup-dev ## the long forms
	$(BIN)/python -m pytest --slow --timeout 3600

coverage: setup-dev ## which lines and branches the tests of single parts reach; it costs them a third of their time
	$(BIN)/python -m pytest $(HANG) $(PAIRED) -m "not alone" --cov --cov-report=term:skip-covered --ignore tests/integration

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
$(VENV)/.installed: pyproject.toml | $(BIN)/pip
	$(BIN)/python -m pip install --quiet --editable '.[$(EXTRA)]'
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/.installed

# Debian's python3 makes no complete environment without its package python3-venv: then its pip, if it has one, helps.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "OmniLive needs Python 3.11 or later: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV) >/dev/null 2>&1 || \
	    { $(PYTHON) -m venv --clear --without-pip $(VENV) && \
	      $(PYTHON) -m pip --quiet --python $(BIN)/python install pip; } || \
	    { rm -rf $(VENV); echo "$(PYTHON) can make no virtual environment: it has neither ensurepip nor pip." \
	      "Install python3-venv, or name another: make PYTHON=/path/to/python3 ..." >&2; exit 1; }

clean:
	rm -rf $(VENV) *.egg-info .mypy_cache .ruff_cache .pytest_cache .coverage artefacts
