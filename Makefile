# Every command that a newcomer, a developer or CI types. Each sets up what it needs first.
PY := .venv/bin/python
SPREAD := -n 3 --dist loadfile --no-loadscope-reorder# most tests wait for processes: three at a time on two cores

.PHONY: demo demo-llm test test-all test-live check docs format clean deploy-check k8s-dry-run

demo: .venv/.installed  ## improve the seed model on TriMul, with a live view, into runs/; FLOWER=1: with Flower's pages
	.venv/bin/ratchet run trimul $(if $(FLOWER),--flower) $(ARGS)

demo-llm: .venv/.installed  ## improve SmolLM2-135M, a real language model, on sorting customers' queries
	.venv/bin/ratchet run intents $(ARGS)

test: .venv/.installed  ## the test suite, but for what is marked slow or live
	$(PY) -m pytest -m "not slow and not live" $(SPREAD) $(ARGS)

test-all: .venv/.installed  ## the slow ones too
	$(PY) -m pytest -m "not live" $(SPREAD) $(ARGS)

test-live: .venv/.installed-live  ## a whole run on Valkey, PostgreSQL, S3 and a model server; more S3 servers
	$(PY) -m pytest -m live $(ARGS)

check: .venv/.installed  ## format, lint, types, import rules, the shape of the tree
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-cache
	$(PY) tools/structure.py

docs: .venv/.installed-docs  ## the documentation's site, strictly, into runs/site
	$(PY) -m mkdocs build --strict

deploy-check: .venv/.installed  ## the Kubernetes manifests, offline
	.venv/bin/ratchet deploy --check

OVERLAY ?= local
k8s-dry-run:  ## ... and by the API server of the cluster that kubectl points to; it changes nothing
	kubectl apply --dry-run=server -k k8s/overlays/$(OVERLAY)

format: .venv/.installed
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

.venv/.installed: pyproject.toml constraints.txt install.sh
	./install.sh

.venv/.installed-docs: .venv/.installed
	.venv/bin/uv pip install -q --python $(PY) -c constraints.txt -e ".[docs]"
	touch $@

.venv/.installed-live: .venv/.installed
	.venv/bin/uv pip install -q --python $(PY) -c constraints.txt -e ".[live]"
	touch $@

clean:  ## remove the virtual environment; runs/ stays
	rm -rf .venv
