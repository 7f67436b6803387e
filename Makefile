# Two commands are enough on a fresh machine: `make demo` and `make test`. Both create what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test coverage lint bench soak fuzz docs wheel samples clean

demo: $(READY)
	@scripts/debian-packages demo
	$(BIN)/footloose demo $(DEMO_ARGS)

test: $(READY)
	@scripts/debian-packages test
	$(BIN)/python -m pytest $(PYTEST_ARGS)

coverage: $(READY)
	@scripts/debian-packages test
	$(BIN)/coverage run -m pytest $(PYTEST_ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --skip-covered

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)
	@scripts/debian-packages demo
	$(BIN)/footloose bench switch

soak: $(READY)
	$(BIN)/footloose simulate --soak $(SOAK_ARGS)

fuzz: $(READY)
	$(BIN)/python tests/fuzzing/run.py $(FUZZ_ARGS)

docs: $(READY)
	$(BIN)/python scripts/make_reference.py

wheel: $(READY)
	$(BIN)/python -m build --no-isolation --outdir dist

samples:
	@scripts/debian-packages samples
	src/footloose/samples/build.sh

$(READY): requirements.lock pyproject.toml
	@PYTHON=$(PYTHON) scripts/virtual-environment $(VENV)
	@touch $(READY)

clean:
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*
