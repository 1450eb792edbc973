.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
UV_VERSION := 0.13.9
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.synced
export PATH := $(CURDIR)/$(BIN):$(PATH)
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
IMAGES := operator trainer
ENGINE ?= $(firstword $(foreach program,docker podman buildah,$(if $(shell command -v $(program)),$(program))))

.PHONY: help demo test test-cluster check format lint types imports unit crds dashboards locks bench clean chart-docs install-yaml images push

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit("rfdetr-operator needs Python 3.11 or newer; run: make PYTHON=python3.12 ..." if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

$(STAMP): locks/dev.txt pyproject.toml tests/prometheus.sh | $(BIN)/uv
	@echo "Installing what the project needs into $(VENV) (torch, Lightning, rfdetr: about 7 GB)"
	@$(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes --python $(BIN)/python locks/dev.txt
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || true
	@$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --python $(BIN)/python --editable .
	@tests/prometheus.sh $(BIN) || echo "no prometheus: tests of the alerts will be skipped"
	@touch $@

demo: $(STAMP) ## Train RF-DETR on two local ranks, preempt one, watch it resume
	@$(BIN)/python -m examples.demo

test: $(STAMP) ## Run every test that needs no cluster
	@$(BIN)/python -m pytest -m "not cluster and not gpu"

test-cluster: $(STAMP) ## Run the end-to-end suite on a real two-node Kubernetes (root; or set KUBECONFIG and RFDETR_TEST_CLUSTER=1)
	@tests/cluster/harness/test-cluster.sh

check: $(STAMP) lint types imports unit ## Format, lint, types, imports and unit tests: under a minute

lint: $(STAMP)
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@test ! -e operator/__init__.py || { echo "operator/__init__.py shadows the standard library's operator module: delete it"; exit 1; }

format: $(STAMP) ## Format and mend what ruff can mend
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

types: $(STAMP)
	@$(BIN)/mypy
	@MYPYPATH=operator:trainer_image:tests $(BIN)/mypy tests/unit tests/integration tests/local tests/cluster tests/charts tests/images benchmarks examples tools/chart tools/dashboards tools/docs tests/docs

imports: $(STAMP)
	@PYTHONPATH=operator:trainer_image $(BIN)/lint-imports --no-cache

unit: $(STAMP)
	@$(BIN)/python -m pytest tests/unit -q

crds: $(STAMP) ## Write crds/ from the models, and what is made from it
	@$(BIN)/python -m rfdetr_operator.api.crd crds
	@cp crds/*.yaml charts/rfdetr-operator/files/crds/
	@$(BIN)/python -m tools.chart install

docs-reference: $(STAMP) chart-docs ## Write the reference pages of the site: API, metrics, chart values
	@$(BIN)/python -m tools.docs.api > docs/reference/api.md
	@$(BIN)/python -m tools.docs.metrics > docs/reference/metrics.md

site: $(STAMP) ## Build the documentation into build/site
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet --site-dir build/site

chart-docs: $(STAMP) ## Write the tables of the chart's values
	@$(BIN)/python -m tools.chart docs

install-yaml: $(STAMP) ## Write charts/install.yaml from the chart
	@$(BIN)/python -m tools.chart install

dashboards: $(STAMP) ## Write the chart's Grafana dashboards
	@$(BIN)/python -m tools.dashboards charts/rfdetr-operator/files/dashboards

bench: $(STAMP) ## Run every benchmark in its short form
	@$(BIN)/python -m benchmarks all --short

images: ## Build both images: make images ENGINE=docker|podman|buildah BUILD_ARGS="--build-arg BASE_IMAGE=..."
	@test -n "$(ENGINE)" || { echo "make images needs docker, podman or buildah"; exit 1; }
	@set -e; for name in $(IMAGES); do $(ENGINE) build --target $$name --tag rfdetr-$$name:$(VERSION) \
	  --build-arg REVISION=$$(git rev-parse HEAD 2>/dev/null || echo unknown) --build-arg CREATED=$$(git log -1 --format=%cI 2>/dev/null) $(BUILD_ARGS) .; done

push: ## Push both images: make push REGISTRY=registry.example.com/ml
	@test -n "$(REGISTRY)" || { echo "make push needs REGISTRY=HOST/PATH"; exit 1; }
	@test -n "$(ENGINE)" || { echo "make push needs docker, podman or buildah"; exit 1; }
	@set -e; for name in $(IMAGES); do $(ENGINE) tag rfdetr-$$name:$(VERSION) $(REGISTRY)/rfdetr-$$name:$(VERSION); \
	  $(ENGINE) push $(PUSH_ARGS) $(REGISTRY)/rfdetr-$$name:$(VERSION); done

locks: | $(BIN)/uv ## Resolve the dependencies anew into locks/
	@BIN=$(BIN) locks/compile.sh

clean: ## Remove the virtual environment and what the tools left
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
