# Commands of the project. `make` alone lists them.
# `make demo` and `make test` do all set-up themselves: they need Python 3.10 or newer and a network for pip, once.

.DEFAULT_GOAL := help
SHELL := /bin/sh
MAKEFLAGS += --no-builtin-rules --no-print-directory
.SUFFIXES:
.DELETE_ON_ERROR:

# ---- settings: override on the command line, for example make test PYTHON=python3.11 ----------------------------

# The Python that makes the virtual environment: the first that is 3.10 or newer. Slicer itself has 3.12.
PYTHON ?= $(shell for python in python3.12 python3.11 python3.13 python3.10 python3.14 python3 python; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1 && echo "$$python" && break; done)
VENV ?= .venv
# make demo CT=scan.nii.gz CLICKS=clicks.json [OUT=folder]
CT ?=
CLICKS ?=
OUT ?= demo-output
# make unit PYTEST_ARGS="-k geometry"
PYTEST_ARGS ?=
# Processes that share the tests, file by file; one for each core is best. One that dies ends the run and names its test.
WORKERS ?= 3

BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
RUN := $(BIN)/python
PYTEST := $(RUN) -X faulthandler -m pytest
IN_WORKERS = -n $(WORKERS) --dist loadfile --max-worker-restart 0
RUNTIME := $(VENV)/.runtime-ready
DEVELOP := $(VENV)/.develop-ready

# ---- for users ----------------------------------------------------------------------------------------------------

.PHONY: help
help: ## List the commands
	@echo "Commands of CT-SAM3D for 3D Slicer:"
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-20s %s\n", $$1, $$2}' Makefile

.PHONY: demo
demo: $(RUNTIME) ## Segment the sample CT; or yours: CT=scan.nii.gz CLICKS=clicks.json [OUT=folder]
ifeq ($(strip $(CT)),)
	$(RUN) -m CTSAM3DLib demo --output-dir "$(OUT)"
else
	@test -n "$(CLICKS)" || { echo "CT=... also needs CLICKS=... , the clicks for that CT (see docs/command-line.md)." >&2; exit 2; }
	@mkdir -p "$(OUT)"
	$(RUN) -m CTSAM3DLib segment "$(CT)" --clicks "$(CLICKS)" --output "$(OUT)/segmentation.seg.nrrd" \
		--picture "$(OUT)/segmentation.png" --report "$(OUT)/report.json"
endif

# ---- checks -------------------------------------------------------------------------------------------------------

CHECKS := lint imports unit

# Each process has one core: libraries that compute in threads of their own take one.
unit slow coverage: export OMP_NUM_THREADS := 1
unit slow coverage: export ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS := 1
# Each process and each command in a test reads what another has compiled, also where this is set.
unit slow coverage: export PYTHONDONTWRITEBYTECODE :=

.PHONY: test
test: $(DEVELOP) ## Lint, imports, unit tests; every one runs, also after a failure
	@failed=; for check in $(CHECKS); do \
		printf '\n== make %s\n' "$$check"; $(MAKE) "$$check" || failed="$$failed $$check"; \
	done; \
	test -z "$$failed" || { echo "Failed:$$failed" >&2; exit 1; }

.PHONY: test-all
test-all: ## As make test, then types, slow tests and more random cases: all that CI runs
	@$(MAKE) test CHECKS="$(CHECKS) types slow"

.PHONY: lint
lint: $(DEVELOP) ## Style, format and spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(RUN) tools/check_files.py $$(git ls-files 2>/dev/null)

.PHONY: types
types: $(DEVELOP) ## mypy, strict, on the library
	$(BIN)/mypy

.PHONY: imports
imports: $(DEVELOP) ## Import contracts: what may import what
	PYTHONPATH=. $(BIN)/lint-imports --no-logo

.PHONY: unit
unit: $(DEVELOP) ## Tests and doctests that are not slow; some of all, in one process: PYTEST_ARGS="-k word"
	$(PYTEST) $(if $(PYTEST_ARGS),$(PYTEST_ARGS),$(IN_WORKERS) -m "not slow")

.PHONY: slow
slow: $(DEVELOP) ## Slow tests, and more random cases for those that draw some
	CTSAM3D_THOROUGH=1 $(PYTEST) $(IN_WORKERS) -m "slow or hypothesis"

.PHONY: coverage
coverage: $(DEVELOP) ## All tests once, and which lines of the library they ran
	$(PYTEST) $(IN_WORKERS) --cov --cov-report=term

.PHONY: bench
bench: $(DEVELOP) ## Benchmarks; prints times and memory with the device
	@set -- Testing/Benchmarks/bench_*.py; test -e "$$1" || { echo "There are no benchmarks yet."; exit 0; }; \
	for benchmark in "$$@"; do PYTHONPATH=. $(RUN) "$$benchmark" || exit 1; done

# ---- files made by a command --------------------------------------------------------------------------------------

.PHONY: format
format: $(DEVELOP) ## Rewrite the sources in the common format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: house
house: $(DEVELOP) ## Count rooms, floors and lines
	$(RUN) tools/house.py

.PHONY: screenshots
screenshots: $(DEVELOP) ## Draw the pictures of panel and effect into build/screenshots
	$(RUN) tools/make_screenshots.py

.PHONY: repository-address
repository-address: $(DEVELOP) ## Write the public address everywhere: URL=https://host/owner/SlicerCTSAM3D
	$(RUN) tools/repository_address.py "$(URL)"

.PHONY: release
release: $(DEVELOP) ## Write HEAD as a repository of one commit, checked for the Extensions Index: DIR=folder
	@test -n "$(DIR)" || { echo "DIR=... is needed: the folder to make (see docs/publishing.md)." >&2; exit 2; }
	$(RUN) tools/make_release.py "$(DIR)"

# ---- environment --------------------------------------------------------------------------------------------------

.PHONY: setup
setup: $(DEVELOP) ## Only make .venv with everything for developers

$(RUNTIME): requirements/runtime.txt requirements/constraints.txt
	@sh tools/make_environment.sh "$(PYTHON)" "$(VENV)" requirements/runtime.txt
	@touch $@

# The developer set contains the runtime set; slicer-core exists for fewer systems than the rest, hence the fallback.
$(DEVELOP): requirements/runtime.txt requirements/optional.txt requirements/develop.txt requirements/slicer.txt requirements/constraints.txt
	@sh tools/make_environment.sh "$(PYTHON)" "$(VENV)" requirements/slicer.txt requirements/develop.txt
	@touch $@ $(RUNTIME)

.PHONY: clean
clean: ## Remove caches and outputs, keep .venv
	rm -rf .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build demo-output test-output
	find . -path "./$(VENV)" -prune -o -name __pycache__ -type d -exec rm -rf {} +

.PHONY: distclean
distclean: clean ## As clean, and remove .venv
	rm -rf "$(VENV)"
