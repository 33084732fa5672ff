# make run        an example cluster on 127.0.0.1:1053, from examples/cluster: no Kubernetes needed
# make test       every test that needs Python and a C compiler alone
# make peers      build and install the real components: API server, etcd, CoreDNS, knot, dnsmasq, unbound, dnsperf, dig,
#                 helm, kustomize, buildah
# make test-all   make test, and the tests against them
# make demo       a real API server with examples/cluster in it, and fastdns beside it (after make peers)
# make lint       ruff, mypy, stubtest, cython-lint, import-linter, codespell
# make bench      fastdns beside its peers and the floor, about 20 minutes: tables, JSON and a chart in build/bench. For other
#                 scenarios or CI's guard: ARGS='hit miss --rounds 4', ARGS=scale-100k, ARGS=--quick, ARGS=--help
# make fuzz       fuzz targets under AddressSanitizer and UBSan, FUZZ_SECONDS (default 60) each
# make wheel      sdist and wheel in dist/
# make image      the container image fastdns:latest (IMAGE=name:tag), by docker, podman or buildah, and of the same files
#                 fastdns:latest-kube-dns, -dnsmasq-nanny, -sidecar, -node-cache, whose entry points these are
# make clean      remove what these made (the cache of `make peers` stays)
SHELL = /bin/bash
PYTHON ?= python3
VENV = .venv
BIN = $(VENV)/bin
FUZZ_SECONDS ?= 60
IMAGE ?= fastdns:latest
# More for the build, e.g. --build-arg BASE=... or --secret id=pip_conf,src=pip.conf
IMAGE_ARGS ?=
PYTEST_ARGS ?=
ARGS ?=

.PHONY: run test peers test-all demo lint bench fuzz wheel image clean build
.DELETE_ON_ERROR:

run: build
	@echo
	@echo "examples/cluster is served on 127.0.0.1:1053, UDP and TCP; change a file there and ask again. Try:"
	@echo "    dig @127.0.0.1 -p 1053 web.shop.svc.cluster.local"
	@echo "    dig @127.0.0.1 -p 1053 db.shop.svc.cluster.local A"
	@echo "    dig @127.0.0.1 -p 1053 db-0.db.shop.svc.cluster.local AAAA"
	@echo "    dig @127.0.0.1 -p 1053 _sql._tcp.db.shop.svc.cluster.local SRV"
	@echo "    dig @127.0.0.1 -p 1053 -x 10.96.0.20"
	@echo "    dig @127.0.0.1 -p 1053 +tcp billing.shop.svc.cluster.local"
	@echo "Other names go to the servers of /etc/resolv.conf. Metrics: http://127.0.0.1:9153/metrics. Ctrl-C ends it."
	@echo
	@exec $(BIN)/fastdns -conf examples/Corefile -dns.port 1053

test: build
	$(BIN)/python -m pytest $(PYTEST_ARGS)

peers: $(VENV)/.stamp
	@$(BIN)/python -m tests.peers.build

# What is missing is told before the tests start, and each test that needs it fails.
test-all: build
	@$(BIN)/python -m tests.peers.build --find || echo "The tests that need these will fail; \`make peers\` gets them."
	$(BIN)/python -m pytest --peers $(PYTEST_ARGS)

demo: build
	@exec $(BIN)/python -m tests.peers.demo

lint: build $(VENV)/.stamp-dev
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m tests.project.lint

# A peer that is neither there nor can be had is left out.
bench: build
	@$(BIN)/python -m tests.peers.build coredns dnsmasq dnsperf knotd unbound || true
	@$(BIN)/python bench/setup.py --quiet build_ext --inplace >build/bench.log 2>&1 || { tail -40 build/bench.log; exit 1; }
	@$(BIN)/python -m bench $(ARGS)

fuzz: $(VENV)/.stamp
	$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS)

wheel: $(VENV)/.stamp-dev
	$(BIN)/python -m build --quiet .
	@ls -l dist

# The first of the three that is there, and for docker: whose daemon answers.
image:
	@if docker info >/dev/null 2>&1; then tool="docker build"; \
	elif command -v podman >/dev/null; then tool="podman build --format docker"; \
	elif command -v buildah >/dev/null; then tool="buildah bud --layers --format docker"; \
	else echo "An image needs docker (with its daemon), podman or buildah: apt-get install buildah"; exit 1; fi; \
	version="$$(sed -n 's/^__version__ = "\(.*\)"/\1/p' fastdns/__init__.py)"; revision="$$(git rev-parse HEAD 2>/dev/null)"; \
	for target in fastdns kube-dns dnsmasq-nanny sidecar node-cache; do tag="$(IMAGE)-$$target"; \
	  $$tool -f deploy/Dockerfile --target "$$target" -t "$${tag%-fastdns}" \
	    --build-arg VERSION="$$version" --build-arg REVISION="$$revision" $(IMAGE_ARGS) . || exit; done

clean:
	rm -rf build dist $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info fastdns/*.so bench/*.so
	find fastdns tests bench -name __pycache__ -prune -exec rm -rf {} +

build: $(VENV)/.stamp
	@FASTDNS_CYTHON_DIR=build/cython $(BIN)/python setup.py --quiet build_ext --inplace >build/compile.log 2>&1 || { tail -40 build/compile.log; exit 1; }

# The machine is asked first: what it lacks is named in one line, with the package that has it.
$(VENV)/.stamp: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "fastdns needs Python 3.11 or newer as $(PYTHON): apt-get install python3 (or: make PYTHON=/path/to/python3.12)"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "Python has no venv: apt-get install python3-venv"; exit 1; }
	@$(PYTHON) -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_paths()["include"] + "/Python.h"))' || \
	  { echo "Python's headers are missing: apt-get install python3-dev"; exit 1; }
	@command -v $${CC:-gcc} >/dev/null || { echo "There is no C compiler: apt-get install gcc libc6-dev"; exit 1; }
	@echo '#include <stdio.h>' | $${CC:-gcc} -E - >/dev/null 2>&1 || { echo "The C library's headers are missing: apt-get install libc6-dev"; exit 1; }
	@mkdir -p build
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing what fastdns needs into $(VENV), and compiling"
	@$(BIN)/python -m pip install -q --disable-pip-version-check 'setuptools>=77' 'cython>=3.1'
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-build-isolation -e '.[test]'
	@touch $@

$(VENV)/.stamp-dev: $(VENV)/.stamp
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-build-isolation -e '.[test,dev]'
	@touch $@
