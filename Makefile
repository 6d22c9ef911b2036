# make demo   the demo on http://127.0.0.1:7860
# make test   all tests
# make lint   style and types
# Everything is installed into .venv; another Python: make demo PYTHON=python3.12

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint clean

demo: .venv/installed
	$(BIN)/python app.py

test: .venv/installed-test
	OMP_WAIT_POLICY=passive $(BIN)/python -m pytest  # waiting threads sleep, as scripts/startup.py has it

lint: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.venv/installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and "rrzoo needs Python 3.11 or newer, %s is %d.%d: make demo PYTHON=python3.12" % (sys.executable, v[0], v[1]))'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --requirement requirements.txt --editable '.[demo,train]'
	@touch $@

.venv/installed-test: .venv/installed
	$(BIN)/python -m pip install --quiet --requirement requirements.txt --editable '.[demo,train,test]'
	@touch $@

clean:
	rm -rf .venv build *.egg-info
