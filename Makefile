# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# make help says what there is. Everything is installed into the checkout: .venv and .nox.

PYTHON ?= python3
VENV := .venv
NOX := $(VENV)/bin/nox

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help unit test docs demo bench mutation release-check released-api findings answers facts pins clean system

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /make \1  \t/p' Makefile

unit: $(NOX)  ## the quick tests, for daily work
	@$(NOX) --session unit

test: system $(NOX)  ## every check there is, as CI runs it
	@$(VENV)/bin/python tests/tooling/run_sessions.py $(NOX)

docs: $(NOX)  ## the documentation site, checked; it says where
	@$(NOX) --session docs

demo: $(NOX)  ## an encrypted example key becomes a relay that delivers; without root, a sasl_passwd
	@tests/tooling/system_packages.sh postfix libsasl2-modules mount util-linux
	@$(NOX) --session demo

bench: $(NOX)  ## what it costs, as ratios; PART=relay is one part of it
	@tests/tooling/system_packages.sh ca-certificates postfix postfix-lmdb
	@$(NOX) --session bench -- $(PART)

mutation: $(NOX)  ## would the unit tests notice a wrong line of the derivation?
	@$(NOX) --session mutation

release-check: $(NOX)  ## version, changelog and tag agree, the archive is reproducible
	@$(NOX) --session release-check

released-api: $(NOX)  ## record what playbooks rely on, at a release
	@$(NOX) --session released-api

findings:  ## write the catalogue of findings into the guide about the audit
	@$(PYTHON) -B -m tests.tooling.findings_section

facts: $(NOX)  ## the lists of regions and partitions are those of the pinned botocore
	@$(NOX) --session facts

answers:  ## write the table of SES's answers into the guide to them
	@$(PYTHON) -B -m tests.tooling.answers_section

pins: $(NOX)  ## set every pin in tests/requirements to the newest version
	@$(VENV)/bin/python -m tests.tooling.update_pins

clean:  ## remove what the other targets made
	rm -rf .cache .nox .venv build tests/output mailops-ses-*.tar.gz

system:
	@tests/tooling/system_packages.sh

$(NOX): tests/requirements/nox.txt tests/requirements/uv.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo 'Python 3.11 or newer is needed: make PYTHON=/path/to/python3.13 ...' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install -q -r tests/requirements/nox.txt
	$(VENV)/bin/python -m pip install -q --only-binary uv -r tests/requirements/uv.txt || \
	    echo 'No uv for this machine: pip installs what the checks need, and takes longer.'
	@touch $(NOX)
