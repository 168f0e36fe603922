# Two commands do everything: `make book` and `make test`. Both set up .venv first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
BOOK := $(BIN)/jupyter-book build book/ -W --keep-going

.PHONY: book test lab notebooks lint library site nbval nbval-quick browser jupyterlab chromium firefox emulators lock clean

book: $(READY)
	$(BOOK)

# The whole course in JupyterLab, on copies in work/: make lab OPTIONS="--no-browser --port 9000".
OPTIONS ?=
lab: $(READY)
	$(BIN)/python tools/lab.py $(OPTIONS)

# The .ipynb beside every page, written anew from the page and the book's cache.
notebooks: $(READY)
	$(BIN)/python tools/notebooks.py

test: lint book library site nbval-quick browser jupyterlab

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Tests that train do so beside other processes; one thread each keeps them out of each other's way.
# In the order of their files: by default the files with few tests come last, which are the slow ones.
library: $(READY) emulators
	$(ONE_THREAD) $(BIN)/pytest tests/minitrain -n 2 --dist loadfile --no-loadscope-reorder -q

site: book
	$(BIN)/pytest tests/book -n 2 -q

# Every cell again, as if on another machine: the numbers were stored with all the instructions that
# this one has, and are compared with what comes out with AVX2 alone. One language, because the
# site's tests hold twins to the same cells and outputs: make nbval PAGES="book/es labs/es".
# The tests do so with a few quick pages: that all pages print what is stored, the site's tests see
# when the book is built from nothing.
PAGES ?= book/en labs/en
nbval-quick: PAGES = labs/en/19-the-run-that-hardly-learns.ipynb \
	$(wildcard book/en/phase-18/0[089]-*.ipynb book/en/phase-18/11-*.ipynb book/en/phase-20/*.ipynb)
nbval nbval-quick: book
	ATEN_CPU_CAPABILITY=avx2 MKL_ENABLE_INSTRUCTIONS=AVX2 \
	$(BIN)/pytest --nbval --nbval-cell-timeout 900 $(PAGES) -n 2 --dist loadfile -q

browser: book chromium firefox
	$(ONE_THREAD) $(BIN)/pytest tests/browser -n 2 --dist loadgroup -q

# A lab and a case in JupyterLab, from the first page to the answer.
jupyterlab: book chromium
	$(ONE_THREAD) $(BIN)/pytest tests/jupyterlab -q

chromium:
	@command -v chromium chromium-browser google-chrome >/dev/null || \
	{ command -v apt-get >/dev/null && apt-get update -q && apt-get install -y -q chromium; } || \
	{ echo "make: the browser tests need Chromium; install it and run again" >&2; exit 2; }

# Another maker's browser. Without it one test is skipped.
firefox:
	@command -v firefox-esr firefox >/dev/null || \
	{ command -v apt-get >/dev/null && apt-get update -q && apt-get install -y -q firefox-esr; } || \
	echo "make: no Firefox: the panel is tested in Chromium alone" >&2

# The kernel on other processors, emulated. Without the emulators these tests are skipped.
emulators:
	@command -v qemu-aarch64-static qemu-riscv64-static >/dev/null || \
	{ command -v apt-get >/dev/null && apt-get update -q && apt-get install -y -q qemu-user-static; } || \
	echo "make: no qemu-user-static: the kernel is not tested on emulated processors" >&2

$(READY): requirements.txt constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo "make: Python 3.11 or newer is needed; name one: make PYTHON=python3.12" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet -r requirements.txt
	touch $@

# Pins what requirements.txt pulls in, from a fresh environment. torch stays out: its build differs.
lock:
	rm -rf _build/lock && $(PYTHON) -m venv _build/lock
	echo "# What the packages of requirements.txt need in turn; written by \`make lock\`." > constraints.txt
	_build/lock/bin/pip install --quiet -r requirements.txt
	_build/lock/bin/pip freeze --exclude-editable --exclude torch >> constraints.txt

clean:
	rm -rf _build
