# A fresh machine needs Python >= 3.11 and make, nothing else.

PYTHON ?= python3
JOBS ?= 2
BIN := .venv/bin
# Compiled code is kept, also where a machine says otherwise: each test process would compile all of it again.
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest
STAMP := .venv/.installed
DEMO := build/demo
LIRPA_NEEDS := appdirs ninja packaging setuptools sortedcontainers tqdm

.PHONY: .venv demo test soak lint types contracts fmt bench docs clean

.venv: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,docs]'
	@# The second bounds engine: its metadata ask for an old torch, see verifluxa/bounds/lirpa_adaptations.py.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt $(LIRPA_NEEDS)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps auto-LiRPA
	@touch $(STAMP)

demo: $(STAMP)
	rm -rf $(DEMO)
	$(BIN)/verifluxa verify examples/digits/no_backdoor.vfx --out $(DEMO)/clean
	$(BIN)/verifluxa verify examples/digits/no_backdoor.vfx --model digits=examples/digits/badnets.jld2 --out $(DEMO)/badnets; test $$? -eq 1
	@echo "The clean model: $(DEMO)/clean/result.json"
	@echo "The backdoored model: $(DEMO)/badnets/result.json; its trigger:"
	@ls $(DEMO)/badnets/pictures/*.png

test: lint types contracts
	$(PYTEST) -n $(JOBS) --dist loadfile

soak: $(STAMP)
	$(PYTEST) -n $(JOBS) -m soak

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

contracts: $(STAMP)
	$(BIN)/lint-imports

fmt: $(STAMP)
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: $(STAMP)
	$(BIN)/python -m benchmarks $(if $(ONLY),--only $(ONLY))

docs: $(STAMP)
	$(BIN)/python -m docs.stage build/docs-source
	$(BIN)/python -m sphinx -q -W --keep-going -c docs build/docs-source build/docs
	@echo "build/docs/index.html"

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.venv/*' -exec rm -rf {} +
