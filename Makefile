# Every command of a developer, and of whoever tries Queuey from a checkout; `make help` lists them.
#
# What `make test` runs, and what each part needs (tests/checks.py says more):
#   unit, live             a Python of 3.11-3.13; live also Debian's Chromium, see `make browser`
#   coverage               unit, run before it
#   ruff, format, imports,
#   mypy, docs             what setup.py lists as extras
#   python3.X              that Python, on PATH or below the folder of pyenv; skipped where there is none

SHELL = /bin/sh
.DEFAULT_GOAL = all
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: all run test test-one test-long browser docs bench clean help

# The programs of bench/ that measure; the rest there helps them.
BENCHES := post read batch sweep backup slow_readers million

# What `make test` installs besides: a browser, where the part that needs it is to run.
BROWSER := $(if $(ONLY),$(if $(filter live,$(ONLY)),browser),browser)

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

all: $(READY) ## the development environment, in .venv (PYTHON=... picks the interpreter)
	@:

# --no-build-isolation: the setuptools of constraints.txt builds, not the newest one of the day.
# editable_mode=compat: the only development install in which twistd finds the plugin of a checkout.
$(READY): setup.py constraints.txt
	@$(BIN)/python -c 'import pip' 2>/dev/null || { \
	    python="$(PYTHON)"; \
	    [ -n "$$python" ] || python=$$(sh tests/pythons.sh 3.11 3.12 3.13) || { \
	        echo 'no Python of 3.11-3.13 that can make a virtual environment; name one: make PYTHON=...' >&2; exit 1; }; \
	    echo "making $(VENV) with $$python"; \
	    "$$python" -m venv --clear $(VENV); }
	@$(PIP) setuptools
	@$(PIP) --no-build-isolation --use-pep517 --config-settings editable_mode=compat -e '.[dev]'
	@touch $@

run: $(READY) ## serve the API with the built-in development settings; Ctrl-C stops it
	@exec $(BIN)/twistd --nodaemon --pidfile= queuey

test: $(READY) $(BROWSER) ## prove everything (ONLY="unit mypy" runs those parts alone)
	@exec $(BIN)/python -m tests.checks $(ONLY)

test-one: $(READY) ## one module, class or method: make test-one T=tests.http.test_v1_queues
	@[ -n "$(T)" ] || { echo 'name it: make test-one T=tests.model.test_timeid' >&2; exit 2; }
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
	    $(BIN)/python -b -m twisted.trial --temp-directory "$$folder/trial" $(T)

test-long: $(READY) $(BROWSER) ## prove everything, with much more of what is random
	@exec env QUEUEY_LONG=1 $(BIN)/python -m tests.checks --long $(ONLY)

browser: ## Debian's Chromium, for the tests in a browser: installed where this is Debian and root
	@sh tests/live/browser/install.sh

docs: $(READY) ## the documentation, in docs/_build
	@$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build
	@echo 'docs/_build/index.html'

bench: $(READY) ## every benchmark
	@set -e; for program in $(BENCHES); do echo "== $$program"; $(BIN)/python -m bench.$$program; done

clean: ## remove all that was made here, but no data
	rm -rf $(VENV) .venvs .cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache .coverage _trial_temp*
	rm -rf build dist docs/_build queuey.egg-info twisted/plugins/dropin.cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/make \1\t\2/p' Makefile | expand -t 18
