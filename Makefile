# make demo   set up and score the sample answers          make test   set up and run every check
# make setup  only the environment (.venv)                  make lock   pin the dependencies anew
PYTHON ?= python3.11
BIN := .venv/bin
WORKERS ?= 2
STAMP := .venv/.installed

.PHONY: demo test test-fast lint setup lock repro default-model clean

demo: setup
	$(BIN)/debrief score corpus/samples --out out/demo; status=$$?; test $$status -le 1

test: setup lint
	$(BIN)/python -m pytest -n $(WORKERS)

test-fast: setup lint
	$(BIN)/python -m pytest -n $(WORKERS) -m "not real"

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

repro: setup
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dvc repro

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@

# needs pip-tools; run it after a change of the dependencies in pyproject.toml
lock:
	pip-compile --quiet --all-extras --strip-extras --no-emit-index-url --no-emit-find-links --no-emit-options \
	  --allow-unsafe --annotation-style=line --output-file requirements.lock pyproject.toml
	sed -i 's/+cpu//' requirements.lock

clean:
	rm -rf .venv out build dist *.egg-info

# what a fresh clone scores with: the champion, see `debrief models history`
default-model: setup
	$(BIN)/debrief models refresh
