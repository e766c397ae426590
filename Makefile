# Every command that a newcomer, a developer or CI types. Each sets up what it needs first.
PY := .venv/bin/python
SPREAD := -n 3 --dist loadfile --no-loadscope-reorder# most tests wait for processes: three at a time on two cores

.PHONY: demo test test-all check format clean

demo: .venv/.installed  ## improve the seed model on TriMul, with a live view, into runs/
	.venv/bin/ratchet run trimul $(ARGS)

test: .venv/.installed  ## the test suite, but for what is marked slow
	$(PY) -m pytest -m "not slow" $(SPREAD) $(ARGS)

test-all: .venv/.installed  ## the slow ones too
	$(PY) -m pytest $(SPREAD) $(ARGS)

check: .venv/.installed  ## format, lint, types, import rules
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-cache

format: .venv/.installed
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

.venv/.installed: pyproject.toml constraints.txt install.sh
	./install.sh

clean:  ## remove the virtual environment; runs/ stays
	rm -rf .venv
