# make demo        the demo on http://127.0.0.1:7860
# make check       what CI runs: lint and test
# make test        all tests
# make test-lowest the quick tests with the lowest versions that pyproject.toml allows, in .venv-lowest; needs uv
# make lint        style and types
# make reference   docs/commands.md, from the commands
# make lock        requirements.lock, from requirements.txt; needs uv
# make clean       removes .venv and what was built
#
# Everything is installed into .venv. Another Python:  make demo PYTHON=python3.12
# torch from another index, such as builds without CUDA, chosen when .venv is made:
#   make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu

PYTHON ?= python3
TORCH_INDEX ?=
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install

.PHONY: demo check test test-lowest lint reference lock clean

demo: .venv/installed
	$(BIN)/rrzoo demo

check: lint test

test: .venv/installed-test
	OMP_WAIT_POLICY=passive $(BIN)/python -m pytest  # waiting threads sleep, as in rrzoo.commands.starting

test-lowest:
	uv venv --quiet --seed --python 3.11 --clear .venv-lowest  # newer Pythons are newer than these versions
	uv pip install --quiet --python .venv-lowest --resolution lowest-direct --editable '.[demo,train,timm,lance,map,mcp,ray,remote,test]'
	OMP_WAIT_POLICY=passive .venv-lowest/bin/python -m pytest -m 'not slow'

lint: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

reference: .venv/installed
	$(BIN)/python -m rrzoo.commands.reference > docs/commands.md

lock:
	{ echo "# What \`make demo\` installs: all of requirements.txt and what that needs, each by its SHA-256. \`make lock\` writes it anew."; \
	uv pip compile requirements.txt --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet; } > requirements.lock.new
	mv requirements.lock.new requirements.lock

.venv/installed: requirements.txt requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and "rrzoo needs Python 3.11 or newer, %s is %d.%d: make demo PYTHON=python3.12" % (sys.executable, v[0], v[1]))'
ifeq ($(TORCH_INDEX),)
	@echo "Installing rrzoo, torch and Gradio into $(CURDIR)/.venv, once: some minutes, and on Linux about 6 GB, most of"
	@echo "it CUDA, which comes with PyPI's torch. Without CUDA it is under 2 GB: stop this, and run"
	@echo "make $(MAKECMDGOALS) TORCH_INDEX=https://download.pytorch.org/whl/cpu"
else
	@echo "Installing rrzoo, Gradio, and torch from $(TORCH_INDEX) into $(CURDIR)/.venv, once: some minutes, and"
	@echo "under 2 GB where this torch has no CUDA."
endif
	$(PYTHON) -m venv .venv
ifeq ($(TORCH_INDEX),)
	$(PIP) --require-hashes --requirement requirements.lock
	$(PIP) --no-deps --editable .
else
	$(PIP) $$(grep -E '^torch(vision)?==' requirements.txt) --index-url $(TORCH_INDEX)  # other files: no hashes of them
	$(PIP) --requirement requirements.txt --editable '.[demo,train]'
endif
	@touch $@

.venv/installed-test: .venv/installed
	$(PIP) --requirement requirements.txt --editable '.[demo,train,lance,map,mcp,ray,remote,test]'
	@touch $@

clean:
	rm -rf .venv .venv-lowest build *.egg-info
