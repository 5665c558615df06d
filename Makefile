# `make demo` and `make test` set everything up by themselves; `make help` lists the rest.
PYTHON ?= python3
BIN := .venv/bin
.DEFAULT_GOAL := help

.PHONY: help demo site docs figures test test-all lint-check lint audit sbom clean

help: ## List the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

# --no-compile: Python compiles what it imports, a small part of what torch brings
.venv/base: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-compile --upgrade pip
	@echo "Installing the project: a few minutes, most of them for torch"
	$(BIN)/python -m pip install --quiet --no-compile --editable .
	touch $@

.venv/installed: .venv/base
	$(BIN)/python -m pip install --quiet --no-compile --editable '.[dev]'
	touch $@

demo: .venv/base ## Train on real digits, draw them, say where everything lies; replaces an earlier demo
	rm -rf logs/train/runs/demo logs/sample/runs/demo
	$(BIN)/python train.py experiment=quickstart hydra.run.dir=logs/train/runs/demo
	$(BIN)/python sample.py classes=all n=10 ckpt=logs/train/runs/demo hydra.run.dir=logs/sample/runs/demo
	@echo
	@echo "Digits:      logs/sample/runs/demo/grid.png"
	@echo "Every epoch: logs/train/runs/demo/samples/    curves: logs/train/runs/demo/curves.png"
	@echo "TensorBoard: $(BIN)/tensorboard --logdir logs"

site: .venv/installed ## Build the documents with demos that draw in any browser; needs npm, which fetches their runtime
	$(BIN)/python -m pip install --quiet --no-compile --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 DEMO=demo/index.html $(BIN)/mkdocs build --strict --quiet --site-dir site
	$(BIN)/python export.py format=web out=site/demo ckpt=pretrained home=../index.html
	$(BIN)/python export.py format=web out=site/hands ckpt=pretrained/signs home=../index.html
	$(BIN)/python export.py format=web out=site/photographs ckpt=pretrained/cifar10 home=../index.html
	@echo "Look at it: $(BIN)/python -m http.server -d site    and open http://localhost:8000"

docs: .venv/installed ## Build the documents as a site, without a dead link: build/docs/index.html
	$(BIN)/python -m pip install --quiet --no-compile --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "Look at it: build/docs/index.html"

figures: .venv/installed ## Draw the documents' figures and generated pages again; trains for a quarter of an hour; needs Chromium and npm
	$(BIN)/python tools/reference.py
	$(BIN)/python tools/diagrams.py
	$(BIN)/python tools/curve_figures.py
	$(BIN)/python tools/page_pictures.py
	$(BIN)/python tools/tensorboard_picture.py

test: lint-check ## Run ruff, mypy, import-linter and the tests that are not slow
	$(BIN)/python -m pytest -n 3 --dist loadgroup

test-all: lint-check ## The same with all tests: real clusters, kills, launchers, every piece of advice
	$(BIN)/python -m pytest -n 3 --dist loadgroup -m ''

lint-check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lint: .venv/installed ## Format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

audit: .venv/installed ## Look up known vulnerabilities of the lowest releases that are allowed, and of those installed
	$(BIN)/python -m pip install --quiet --no-compile pip-audit
	mkdir -p build
	$(BIN)/python tools/floors.py > build/floors.txt
	$(BIN)/python -m pip list --format=freeze --exclude-editable | sed 's/+.*//' > build/installed.txt
	for list in floors installed; do $(BIN)/pip-audit --strict --no-deps --disable-pip --requirement build/$$list.txt || exit; done

sbom: .venv/installed ## List what is installed as a CycloneDX bill of materials: build/sbom.json
	$(BIN)/python -m pip install --quiet --no-compile cyclonedx-bom
	mkdir -p build
	$(BIN)/cyclonedx-py environment --output-reproducible --output-file build/sbom.json $(BIN)/python
	@echo "Written: build/sbom.json"

clean: ## Remove caches, not data, runs or the environment
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
