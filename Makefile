# What a person does with this repository. Each target installs what it needs itself (scripts/setup.sh).

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo test bench errors load crash idle scanner fleet device aarch64 deb size vm vm-test models check fuzz

# The program of an office, which can do more than a board's.
RELEASE := cargo build --release --locked --features office

# Where the program looks for ONNX Runtime first: out of the wheel that scripts/onnxruntime.txt pins.
export ORT_DYLIB_PATH ?= $(CURDIR)/.cache/onnxruntime/libonnxruntime.so

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## read a scanned report, draw what was found, publish it to a broker and receive it again
	scripts/setup.sh build onnxruntime broker
	$(RELEASE) --quiet
	scripts/demo.sh

test: ## check format and lints, run every test
	scripts/setup.sh build onnxruntime test appliance screen
	scripts/test.sh

bench: ## compare with Tesseract and RapidOCR on the same pages, into docs/benchmark.md (DOCUMENTS=of a kind: only print)
	scripts/setup.sh build onnxruntime bench
	$(RELEASE)
	python3 scripts/bench.py $(if $(DOCUMENTS),--documents $(DOCUMENTS))

errors: ## show at which stage values are lost, over the samples and documents drawn for it (COUNT=20 of each kind)
	scripts/setup.sh build onnxruntime test
	$(RELEASE)
	.cache/python/bin/python scripts/errors.py --count $(or $(COUNT),20)

load: ## measure the HTTP API under 64 clients against the bare engine (SECONDS=300)
	scripts/setup.sh build onnxruntime
	$(RELEASE)
	python3 scripts/bench_http.py --seconds $(or $(SECONDS),300)

crash: ## kill the kiosk's service at random under load, and at each step of an update of its models (ROUNDS=300 KILLS=100)
	scripts/setup.sh build onnxruntime test
	$(RELEASE)
	CIC_KIOSK=$(CURDIR)/target/release/cic-kiosk CRASH_ROUNDS=$(or $(ROUNDS),300) .cache/http/bin/python -m pytest -s tests/daemon/test_crash.py
	CIC_KIOSK=$(CURDIR)/target/release/cic-kiosk UPDATE_KILLS=$(or $(KILLS),100) .cache/http/bin/python -m pytest -s tests/daemon/test_updates.py -k power_cut_at

idle: ## measure the kiosk's service: accepting, starting, delivering, idling, ending, and its outbox and publisher alone
	scripts/setup.sh build onnxruntime test
	$(RELEASE)
	.cache/http/bin/python scripts/bench_daemon.py
	cargo test --release --locked --bin cic-kiosk -- --ignored --nocapture --test-threads 1 bench_outbox backlog_of

scanner: ## measure whether reading overlaps scanning: eight pages from a document scanner
	scripts/setup.sh build onnxruntime test
	$(RELEASE)
	.cache/http/bin/python scripts/bench_capture.py

fleet: ## measure an operator's commands with simulated kiosks at one broker (KIOSKS=1000)
	scripts/setup.sh build onnxruntime test
	$(RELEASE)
	.cache/http/bin/python scripts/bench_fleet.py --kiosks $(or $(KIOSKS),1000)

device: ## in a virtual machine: the screen with a camera, the key in a TPM2, and what the tests' devices are (an hour)
	scripts/setup.sh build onnxruntime test screen vm
	cargo build --locked
	VM_LIMIT=7200 VM_MEMORY=4096 scripts/vm.sh run .cache/http/bin/python -m pytest tests/device

aarch64: ## build the release for a kiosk's board, with Debian's cross compiler
	scripts/setup.sh aarch64
	scripts/aarch64.sh

deb: aarch64 ## make the Debian packages for x86-64 and aarch64 in target/debian, and look at them
	scripts/setup.sh onnxruntime onnxruntime-aarch64 deb
	$(RELEASE)
	scripts/deb.sh
	.cache/http/bin/python -m pytest tests/package

size: aarch64 ## measure how large everything is, how soon the service is ready and what memory it takes
	scripts/setup.sh onnxruntime onnxruntime-aarch64 test
	$(RELEASE)
	.cache/http/bin/python scripts/size.py

vm: aarch64 ## build the virtual kiosk: an arm64 machine with systemd, in which the package is installed
	scripts/setup.sh onnxruntime-aarch64 deb kiosk
	scripts/deb.sh aarch64
	scripts/kiosk.sh image

vm-test: vm ## boot the virtual kiosk and see it read, lose its power, hang, update (20 minutes)
	scripts/setup.sh test
	scripts/kiosk.sh test

models: ## train both models from nothing, measure them and write them to models/ (hours; WORK=folder)
	scripts/setup.sh build training
	cd models/training && ../../.cache/training/bin/python -m cictrain all --work $(abspath $(or $(WORK),.cache/training/work)) --out ..

check: ## check format, lints and, where cargo-deny is installed, licences and advisories
	scripts/setup.sh build
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets --all-features -- -D warnings
	cargo clippy --locked -- -D warnings
	@if command -v cargo-deny >/dev/null; then cargo deny --locked check; \
	else echo "cargo-deny is not installed (cargo install --locked cargo-deny): licences and advisories not checked"; fi

fuzz: ## fuzz every parser (SECONDS=600 each)
	scripts/setup.sh build fuzz
	scripts/fuzz.sh $(or $(SECONDS),600)
