# make run     a gateway to try on loopback: everything it needs stands under var/
# make test    the whole test suite
# make check   ruff and mypy
# make clean   removes what was made, but not var/ (your mail and queue)
#
# `make PORTS=2525,4465,5587,2526,5300 run` says which ports to take: mx, implicit, submission, sink, DNS.
# Python 3.11 or later is looked for; `make PYTHON=/path/to/python3.12 run` says which one to take.

PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install -qq
SOURCES := $(shell find mailgw twisted -name '*.py')
TESTS ?= tests

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore

.PHONY: run test check clean

# -P: what runs is what is installed, whatever the current folder holds.
run: $(VENV)/installed
	@exec $(BIN)/python -P -m mailgw.develop var $(if $(PORTS),--ports $(PORTS))

test: $(VENV)/installed $(VENV)/installed-test
	@$(BIN)/python tests/run.py $(TESTS)

check: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build dist *.egg-info _trial_temp* .mypy_cache .ruff_cache .hypothesis .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -f twisted/plugins/dropin.cache

$(BIN)/python:
	@test -n "$(PYTHON)" && $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "mailgw needs Python 3.11 or later$(if $(PYTHON),; $(PYTHON) is older or missing)." \
			"Say which one to take: make PYTHON=/path/to/python3.12 run" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv" >&2; \
		exit 1; }
	$(PYTHON) -m venv --clear $(VENV)

# What it depends on: only when the lists have changed, so that this alone needs the network.
$(VENV)/dependencies: setup.cfg pyproject.toml | $(BIN)/python
	@echo "installing mailgw and its dependencies into $(VENV)"
	@$(PIP) --upgrade pip 'setuptools>=77'
	@$(PIP) .
	@touch $@

# The project itself: a plain install, since twisted.plugin does not see an editable one. `build` would bring back
# modules that are gone. twistd writes its list of plugins (dropin.cache) when it looks for them.
$(VENV)/installed: $(VENV)/dependencies $(SOURCES)
	@rm -rf build
	@$(PIP) --no-deps --no-build-isolation --force-reinstall .
	@rm -rf build
	@$(BIN)/twistd --help >/dev/null
	@touch $@

$(VENV)/installed-%: $(VENV)/dependencies
	@$(PIP) '.[$*]'
	@touch $@
