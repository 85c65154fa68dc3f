# The two commands that matter: `make demo` and `make test`. `make help` lists the rest.
# Everything runs on the Node that npm brings (node_modules/.bin/node), so an older Node on PATH is enough to install.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)

STAMP := node_modules/.km-setup

# Where `make install` puts km; DESTDIR goes before it, for who makes packages.
PREFIX ?= $(HOME)/.local
DESTDIR ?=
INSTALLED = $(DESTDIR)$(PREFIX)/lib/km/node

# Emulators of AWS, in a Python environment of their own.
AWS_EMULATORS := node_modules/.km-aws/installed

.PHONY: help setup demo install uninstall test test-unit test-aws test-interop test-toolchains slack-check check format build bench routes fuzz mutants clean

help: ## list the targets
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: $(STAMP) ## install what the lockfile names, and check the versions that came

$(STAMP): package.json package-lock.json km-cli/setup/checkSetup.mjs
	@command -v npm >/dev/null || { echo "make setup needs npm (Node 20 or newer). Install Node from your system's packages, then run make again." >&2; exit 1; }
	@npm ci --no-audit --no-fund --loglevel=error
	@node km-cli/setup/checkSetup.mjs
	@touch $@

# Says what the command said, when it failed.
quietly = @report="$$($(1) 2>&1)" || { printf '%s\n' "$$report" >&2; exit 1; }

check: setup ## format check, lint, type check
	$(call quietly,dprint check)
	$(call quietly,oxlint -c oxlint.json --deny-warnings)
	$(call quietly,tsc -p .)
	$(call quietly,deno check --quiet runtime/sandbox/main.ts bridge/main.ts hooks/main.ts)
	@report="$$(effect-tsgo diagnostics --project tsconfig.json --strict --format text || true)"; \
	case "$$report" in \
	  *"0 errors, 0 warnings and 0 messages."*) ;; \
	  *) printf '%s\n' "$$report" >&2; exit 1 ;; \
	esac

format: setup ## format the code
	dprint fmt

test: check test-unit ## everything that needs only what `make setup` installs

test-unit: setup
	@vitest run

# The oldest Node that `engines` of package.json takes. Its platform's package has nothing but the binary, and no script.
OLDEST_NODE := node_modules/.km-oldest/node
$(OLDEST_NODE): $(STAMP)
	@npm install --prefix $(@D) --no-save --no-audit --no-fund --loglevel=error \
	  "node-$$(node -p 'process.platform + "-" + process.arch')@22.19.0"
	@cp $(@D)/node_modules/node-*/bin/node $@

$(AWS_EMULATORS): $(STAMP) test/aws/requirements.txt
	@python3 -m venv $(@D) || { echo "make test-aws needs Python 3.10 or newer with venv (Debian: python3-venv)" >&2; exit 1; }
	@$(@D)/bin/pip install --quiet --disable-pip-version-check --no-deps --requirement test/aws/requirements.txt
	@touch $@

test-aws: setup $(AWS_EMULATORS) ## the AWS engine on an emulator of AWS (Python, PyPI) on 127.0.0.1 (MESSAGES=10000: a longer campaign)
	@KM_AWS_MESSAGES='$(or $(MESSAGES),60)' vitest run --config vitest.aws.config.ts

test-interop: setup $(OLDEST_NODE) ## tests that need programs of the operating system (.ci/packages), or the registry
	@KM_INTEROP=1 vitest run --config vitest.interop.config.ts

test-toolchains: setup ## Go, cargo and Java in the jail, where the system has all three (from Debian 280 MB)
	@KM_INTEROP=1 vitest run --config vitest.toolchains.config.ts

slack-check: setup ## ask slack.com what the local workspace is trusted for (KM_SLACK_BOT_TOKEN, KM_SLACK_APP_TOKEN)
	@node test/slack/check.ts

build: setup ## bundle into dist/
	@node km-cli/build/bundle.ts

demo: setup ## a sandbox, a message, an answer, a push, on this machine (ONCE=1: no terminal, exits)
	node km-cli/main.ts demo $(if $(ONCE),--once)

install: build ## put km on PATH below PREFIX (~/.local unless given)
	@node km-cli/setup/install.ts install --prefix "$(PREFIX)" --destdir "$(DESTDIR)"

uninstall: ## remove what `make install` put below PREFIX, and nothing else
	@[ -x "$(INSTALLED)" ] || { echo "km is not installed in $(DESTDIR)$(PREFIX)" >&2; exit 1; }
	@"$(INSTALLED)" km-cli/setup/install.ts uninstall --prefix "$(PREFIX)" --destdir "$(DESTDIR)"

bench: build ## measure (AREA=bridge for a part); writes test/bench/results/latest.json
	node test/bench/main.ts $(AREA)

routes: setup ## compare the routes we judge with GitHub's API description (OPENAPI=, SCHEMA=: other versions; WRITE=1 takes them over)
	@node km-cli/build/githubRoutes.ts

fuzz: setup ## feed the parser of pushes (EXECUTIONS=10000000, SECONDS=600, SEED=n)
	@EXECUTIONS='$(EXECUTIONS)' SECONDS='$(SECONDS)' SEED='$(SEED)' node test/fuzz/pushes.ts

mutants: setup ## change the code in small ways, see whether a test notices (AREA=folder, SEED=n, FULL=1)
	@AREA='$(AREA)' SEED='$(SEED)' FULL='$(FULL)' JOBS='$(JOBS)' node test/mutants/main.ts

clean:
	rm -rf dist dist.* node_modules
