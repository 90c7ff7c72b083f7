# ekp: build, try, test, install, measure. `make demo` and `make test` are all a fresh machine with Rust needs.

CARGO  ?= cargo
PREFIX ?= $(HOME)/.local
TARGET  = target/release
HOST   := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p')
TOOLS   = $(basename $(notdir $(wildcard src/bin/ekp-*.rs)))
# A static program needs the static C library; `make dist` says so where it is missing. At a fixed address it
# starts without relocating itself.
STATIC := $(wildcard /usr/lib/*/libc.a /usr/lib64/libc.a /usr/lib/libc.a)

.PHONY: demo study test packages check bench dist install docs clean

# Builds, runs the sinusoid calibration on this machine, prints prior, result and where the figures are.
demo:
	$(CARGO) build --release --locked --bins
	@rm -rf examples/sinusoid/runs/sinusoid
	@echo
	$(TARGET)/ekp-launch examples/sinusoid/experiment.toml
	@echo
	@echo "figures, and a page that shows them all:"
	@$(TARGET)/ekp-report -q --format svg,png examples/sinusoid/runs/sinusoid
	@echo "more:  $(TARGET)/ekp-status examples/sinusoid/runs/sinusoid"
	@echo "your own model:  $(TARGET)/ekp-init --new etki my_study   (docs/your_model.md)"

# The scaling study at the size of this machine, some minutes: tables and figures in examples/scaling/results.
# Again: what is done is not done twice. `make study ONLY='strong_*'` runs some of its cases.
STUDY = examples/scaling/runs/laptop
study:
	$(CARGO) build --release --locked --bins
	$(TARGET)/ekp-sweep -q examples/scaling $(STUDY) --platform laptop $(if $(ONLY),--only '$(ONLY)')
	$(MAKE) -s -j8 -C $(STUDY)
	$(TARGET)/ekp-collect-timings -q $(STUDY) -o examples/scaling/results
	$(TARGET)/ekp-report --format svg,png,pdf $(STUDY) -o examples/scaling/results

# All tests, devices among them: CUDA where there is a card, Vulkan on a card or in software. As root on Debian it
# installs what the tests want (Slurm and munge among it); elsewhere the tests that lack a program skip with a message.
# In CI (CI=true) they fail in place of skipping.
test: packages
	CARGO_INCREMENTAL=0 $(CARGO) test --locked --features cuda,wgpu --lib --test main

packages:
	@tests/install_packages

check:
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) test --locked --lib --test main
	for f in tests/install_packages tests/slurm/bed; do bash -n $$f; done
	! command -v shellcheck >/dev/null || shellcheck tests/install_packages tests/slurm/bed

# Kernels against their floors, the file protocol against bare C loops: see docs/performance.md.
bench: dist
	RUSTFLAGS="-C target-feature=+crt-static" $(CARGO) build --quiet --profile dist --target $(HOST) \
	  --manifest-path benches/startup/Cargo.toml --target-dir target/startup
	$(CARGO) bench --locked

# Static programs where the static C library is there: they start fastest and run on any node.
dist:
ifneq ($(STATIC),)
	RUSTFLAGS="-C target-feature=+crt-static -C relocation-model=static" $(CARGO) build --profile dist --locked --bins --target $(HOST)
	mkdir -p target/tools && cp $(TOOLS:%=target/$(HOST)/dist/%) target/tools/
else
	@echo "libc.a is not here (Debian: libc6-dev, Fedora: glibc-static): building dynamic programs"
	$(CARGO) build --profile dist --locked --bins
	mkdir -p target/tools && cp $(TOOLS:%=target/dist/%) target/tools/
endif
	@echo "tools in target/tools"

install: dist
	$(CARGO) run --quiet --locked --features manual --bin ekp-manual -- target/manual
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DESTDIR)$(PREFIX)/share/zsh/site-functions
	install -d $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
	install -m 755 $(TOOLS:%=target/tools/%) $(DESTDIR)$(PREFIX)/bin
	install -m 644 target/manual/man/*.1 $(DESTDIR)$(PREFIX)/share/man/man1
	for t in $(TOOLS); do \
	  install -m 644 target/manual/bash/$$t.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/$$t; done
	install -m 644 target/manual/zsh/* $(DESTDIR)$(PREFIX)/share/zsh/site-functions
	install -m 644 target/manual/fish/* $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
	@echo "installed in $(DESTDIR)$(PREFIX); is $(PREFIX)/bin on your PATH?"

# The book: plain files under docs/; as HTML where mdbook is installed.
docs:
	$(CARGO) doc --locked --no-deps
	@if command -v mdbook >/dev/null; then mdbook build docs; else echo "docs/ reads as plain files; mdbook would make pages of it"; fi

clean:
	$(CARGO) clean
