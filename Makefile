# make demo   the whole system on made clips        make test   the tests
# make soak   long campaigns                        make lint   ruff
# make weights   the default weights, trained on made clips
VENV   := .venv
PYTHON := $(VENV)/bin/python
READY  := $(VENV)/.ready
SEED   ?= 0

.PHONY: demo weights test soak lint clean

$(READY): requirements.txt requirements-dev.txt requirements-encoders.txt constraints.txt
	python3 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet --requirement requirements-dev.txt --constraint constraints.txt
	touch $@

demo: $(READY)
	$(PYTHON) -m utils.demo --seed $(SEED)

weights: $(READY)
	$(PYTHON) tools/make_weights.py

test: $(READY)
	$(PYTHON) -m pytest -m "not soak" -n auto --dist loadfile --durations 10

soak: $(READY)
	$(PYTHON) -m pytest -m soak

lint: $(READY)
	$(PYTHON) -m ruff check .

clean:
	rm -rf work_dir/demo* .pytest_cache .ruff_cache
