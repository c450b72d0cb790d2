# Two commands do all the set-up: `make demo` runs the main job, `make test` installs what tests need and runs everything.

CARGO ?= cargo
PYTHON ?= python3
CC ?= cc

LIBRARY := target/release/libcatzilla_cache.so
ABI := $(shell sed -n 's/^const ABI: u32 = \([0-9]*\);/\1/p' build.rs)
TRACE := data/traces/cache2k_web12.key.u32.zst
WARNINGS := -std=c99 -Wall -Wextra -Wpedantic -Werror

export CARGO PYTHON CC PYTEST_ARGS

.PHONY: build demo check lint test test-tools test-rust test-features test-replay test-policies test-soak test-c python test-python conformance model model-short sanitize sanitize-address sanitize-thread sanitize-python soak fuzz bench bench-python bench-http bench-large bench-programs hit-ratio header documents clean

# Without an rlib beside them, which no link-time optimisation is done for, and then none at all.
build: ## The library: target/release/libcatzilla_cache.so and .a
	$(CARGO) rustc --release --locked --lib --crate-type cdylib,staticlib
	ln -sf libcatzilla_cache.so $(LIBRARY).$(ABI)

demo: build ## The smallest program, then a real trace through the C interface: over memory, and over memory and disk with a restart
	@mkdir -p build
	$(CC) $(WARNINGS) -O2 -Iinclude examples/c/quickstart.c -o build/quickstart \
	    -Ltarget/release -lcatzilla_cache -Wl,-rpath,$(CURDIR)/target/release
	build/quickstart
	$(CARGO) build --release --locked --manifest-path tools/replay/Cargo.toml --target-dir target
	@echo
	target/release/replay $(TRACE)
	@echo
	target/release/replay $(TRACE) --restart --capacity 2% --value-size 1024

# Twice as many tests at once as there are processors, since many of them wait, and nothing else is running.
check: lint ## The quick subset: format, lints, Rust tests
	$(MAKE) --no-print-directory test-rust NEXTEST_ARGS=--test-threads=$$((2 * $$(nproc)))

lint:
	for manifest in Cargo.toml tools/*/Cargo.toml benches/Cargo.toml; do \
	    $(CARGO) fmt --check --manifest-path $$manifest || exit 1; \
	done
	$(CARGO) clippy --quiet --locked --all-targets -- -D warnings

# `make test` in parts, some of which run side by side: three, so that two processors have work while one part waits or links. What
# builds into one folder follows each other, since cargo lets nobody else in. Each part is told with all its output when it ends.
LANES ?= 3
PARTS := $(addprefix part-,test-tools lint build sanitize-address test-rust test-c test-python sanitize-thread model-short \
    test-features test-replay test-policies test-soak sanitize-python demo)
.PHONY: $(PARTS)
part-test-rust: part-test-tools part-lint
part-test-features: part-test-rust
part-test-replay: part-build part-test-features
part-test-policies: part-test-replay
part-test-soak: part-test-policies
part-test-c: part-test-tools part-build
part-test-python: part-test-c
part-sanitize-python: part-test-python
part-demo: part-test-c
# Not before the library is there, since the longest way is from that by the tests in C to those in Python.
part-sanitize-address: part-build
part-sanitize-thread: part-sanitize-address
part-model-short: part-sanitize-thread

# By another name, and without what is meant for jobs of this make: else output is not kept together.
ALONE := env -u MAKEFLAGS -u MFLAGS $(MAKE) --no-print-directory
$(PARTS): part-%:
	@begun=$$(date +%s); echo "== $*"; $(ALONE) $* && echo "== $*: $$(($$(date +%s) - begun)) s"

test: ## Everything a change must pass
	$(MAKE) --no-print-directory --jobs=$(LANES) --output-sync=target $(PARTS)

test-tools: ## Installs what the tests need
	tools/install-test-tools

# Each test in a process of its own where cargo-nextest is present.
test-rust:
	if $(CARGO) nextest --version >/dev/null 2>&1; then $(CARGO) nextest run --locked $(NEXTEST_ARGS); else $(CARGO) test --locked --tests; fi
	$(CARGO) test --quiet --locked --doc

# The memory tier alone has to work with nothing else compiled in, and each part without the others.
test-features:
	$(CARGO) test --quiet --locked --no-default-features --lib --test accounting --test model --test threads --test tiny
	for features in jemalloc disk redis; do \
	    $(CARGO) clippy --quiet --locked --no-default-features --features $$features -- -D warnings || exit 1; \
	done

test-replay: build
	$(CARGO) clippy --quiet --locked --manifest-path tools/replay/Cargo.toml --target-dir target --all-targets -- -D warnings
	CATZILLA_CACHE_LIBRARY=$(CURDIR)/$(LIBRARY) \
	    $(CARGO) test --quiet --locked --manifest-path tools/replay/Cargo.toml --target-dir target

test-policies: build
	$(CARGO) clippy --quiet --locked --manifest-path tools/policies/Cargo.toml --target-dir target --all-targets --all-features -- -D warnings
	CATZILLA_CACHE_LIBRARY=$(CURDIR)/$(LIBRARY) \
	    $(CARGO) test --quiet --locked --manifest-path tools/policies/Cargo.toml --target-dir target --all-features

test-soak: build
	$(CARGO) clippy --quiet --locked --manifest-path tools/soak/Cargo.toml --target-dir target --all-targets -- -D warnings
	CATZILLA_CACHE_LIBRARY=$(CURDIR)/$(LIBRARY) \
	    $(CARGO) test --quiet --locked --manifest-path tools/soak/Cargo.toml --target-dir target

test-c: build
	if command -v cmake >/dev/null; then \
	    cmake -B build/cmake -S . && cmake --build build/cmake -j2 && ctest --test-dir build/cmake --output-on-failure -j2; \
	fi

# The Python package in this checkout, with its compiled module: for PYTHONPATH=bindings/python.
PYTHON_PACKAGES := $(CURDIR)/build/python-packages
python: build ## The Python package's compiled module, into bindings/python
	PYTHONPATH=$(PYTHON_PACKAGES) cmake -B build/python -S . -DCATZILLA_PYTHON_OUTPUT=$(CURDIR)/bindings/python/catzilla_cache \
	    -DCATZILLA_CACHE_LIBRARY_DIR=$(CURDIR)/target/release -DPython_EXECUTABLE=$$(command -v $(PYTHON)) >/dev/null
	PYTHONPATH=$(PYTHON_PACKAGES) cmake --build build/python --target catzilla_cffi

# Everything on both backends, at the same time: much of it waits. What has nothing to do with a backend runs with one of them.
# PYTEST_ARGS: which tests, and how.
PYTEST_ARGS ?= bindings/python/tests
PYTEST_ONCE := --ignore=bindings/python/tests/test_wheel.py --ignore=bindings/python/tests/test_typing.py
PYTEST := CATZILLA_CACHE_LIBRARY=$(CURDIR)/$(LIBRARY) PYTHONPATH=$(CURDIR)/bindings/python:$(PYTHON_PACKAGES) $(PYTHON) -m pytest -q
# By xargs, since what a shell starts in the background is deaf to interrupts, which some tests send.
test-python: python
	if [ -d build/python-packages/pytest ]; then \
	    printf '%s\n' 'cffi ' 'ctypes $(PYTEST_ONCE)' | xargs -P 2 -I {} sh -c 'set -- {}; backend=$$1; shift; \
	        CATZILLA_CACHE_BACKEND=$$backend $(PYTEST) -p no:cacheprovider $$* $(PYTEST_ARGS) >build/test-$$backend.txt 2>&1'; \
	    outcome=$$?; cat build/test-cffi.txt build/test-ctypes.txt; exit $$outcome; \
	fi

# Not part of `make test`: node is not on every machine.
CONFORMANCE_SUITE := http-cache-tests@0.4.5
conformance: test-tools python ## The HTTP response cache against an external suite, http-cache-tests; needs node and npm
	@for program in node npm; do command -v $$program >/dev/null || { \
	    echo "make conformance: $$program is missing (Debian packages nodejs and npm)" >&2; exit 1; }; done
	@mkdir -p build/conformance
	npm install --silent --no-audit --no-fund --no-save --ignore-scripts --prefix build/conformance $(CONFORMANCE_SUITE)
	CATZILLA_CACHE_LIBRARY=$(CURDIR)/$(LIBRARY) PYTHONPATH=$(CURDIR)/bindings/python:$(PYTHON_PACKAGES) \
	    node tools/conformance/run.mjs build/conformance/node_modules/http-cache-tests $(PYTHON)

model-short:
	tools/model --short

model: ## Every race of the engine under thousands of schedules, with proof that mistakes are found
	tools/model

sanitize-address sanitize-thread sanitize-python: sanitize-%:
	tools/sanitize --short $*

sanitize: ## AddressSanitizer, ThreadSanitizer and Miri, with proof that they are on
	tools/sanitize

SOAK_SECONDS ?= 120
SOAK_KILLS ?= 200
soak: test-tools build ## The long forms; SOAK_SECONDS says how long each of them, SOAK_KILLS how often a process is killed
	$(CARGO) build --release --locked --manifest-path tools/soak/Cargo.toml --target-dir target
	target/release/soak --seconds $(SOAK_SECONDS)
	CATZILLA_SOAK_SECONDS=$(SOAK_SECONDS) $(CARGO) test --release --locked --target-dir target/soak --test threads -- --test-threads=1
	CATZILLA_SOAK_SECONDS=$(SOAK_SECONDS) CATZILLA_KILLS=$(SOAK_KILLS) $(CARGO) test --release --locked --target-dir target/soak \
	    --test crash --test tiers -- --test-threads=1
	CATZILLA_SOAK_SECONDS=$(SOAK_SECONDS) CATZILLA_KILLS=$(SOAK_KILLS) $(CARGO) test --release --locked --target-dir target/soak \
	    --lib tiers::disk::tests::processes -- --test-threads=1
	cmake -B build/cmake -S . && cmake --build build/cmake -j2
	for stress in build/cmake/c-tests/stress_*; do \
	    if [ -x $$stress ] && [ -f $$stress ]; then CATZILLA_STRESS_MS=$(SOAK_SECONDS)000 $$stress || exit 1; fi; \
	done

FUZZ_SECONDS ?= 120
fuzz: ## Looks for calls that break the cache, and for bytes that break who reads them; needs cargo-fuzz and a nightly toolchain
	cd fuzz && $(CARGO) +nightly fuzz run calls -- -max_total_time=$(FUZZ_SECONDS)
	cd fuzz && $(CARGO) +nightly fuzz run envelope -- -max_total_time=$(FUZZ_SECONDS)

BENCH_ARGS ?= $(BENCH_ARGUMENTS)
BENCHES := target/benches/release
bench: bench-programs ## The engine beside the original one and its peers; prints where we lose. BENCH_ARGS=--quick: the short form
	for question in throughput batch tags latency memory fragmentation instructions policies ffi_cost tiers; do \
	    $(BENCHES)/$$question $(BENCH_ARGS) || exit 1; echo; \
	done
	$(MAKE) --no-print-directory hit-ratio

bench-python: python ## The Python package beside what people use today; says where a promise is missed
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --upgrade \
	    --target build/python-bench-packages $(PYTHON_PEERS)
	for question in objects_bench values_bench codec_bench key_bench; do \
	    PYTHONPATH=$(CURDIR)/bindings/python:$(PYTHON_PACKAGES) $(PYTHON) bindings/python/benches/$$question.py $(BENCH_ARGS) || true; \
	done

PYTHON_PEERS := cachebox==6.2.10 cachetools==6.2.2 pyferris==0.5.2 diskcache==5.6.3 redis==7.1.0

# The peers' versions are in http_contestants.py: each peer has a folder of its own, since they exclude each other.
bench-http: python ## The HTTP cache beside its peers and beside no cache, also under wrk; says where a promise is missed
	$(PYTHON) bindings/python/benches/http_contestants.py
	$(PYTHON) bindings/python/benches/http_bench.py $(BENCH_ARGS) || true

hit-ratio: build ## How often each policy hits on every trace there is; draws build/hit-ratio.png
	$(CARGO) build --release --locked --manifest-path tools/policies/Cargo.toml --target-dir target --features chart
	target/release/hit-ratio $(filter --quick,$(BENCH_ARGS))
	target/release/hit-ratio-chart build/hit-ratio.csv build/hit-ratio.png

bench-large: bench-programs ## Ten million entries, and ten gigabytes of documents
	$(BENCHES)/memory --entries 10000000 $(BENCH_ARGS)
	$(BENCHES)/json $(BENCH_ARGS)

# diskcache is a peer of `tiers`, whose row says so when it is not there.
bench-programs: test-tools build
	[ -e build/bench-packages/diskcache ] || $(PYTHON) -m pip install --quiet --disable-pip-version-check \
	    --root-user-action=ignore --target build/bench-packages diskcache==5.6.3 || true
	$(CARGO) build --release --locked --manifest-path benches/Cargo.toml --target-dir target/benches

header: ## Takes over the header that the sources make
	$(CARGO) build --locked
	cp "$$(ls -t target/debug/build/catzilla-cache-*/out/catzilla_cache.h | head -1)" include/catzilla_cache.h

documents: ## Makes docs/options.md and include/exported-symbols.txt anew
	CATZILLA_BLESS=1 $(CARGO) test --quiet --locked --test architecture

clean:
	rm -rf target build
