# make demo and make test set everything up themselves, in .venv; make clean takes it away again.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
USED := $(VENV)/.set-up
DEVELOPED := $(VENV)/.set-up-dev
OUT := demo_output

.PHONY: demo test fuzz lint system-packages test-packages peer-packages clean

demo: $(USED)
	@mkdir -p $(OUT)
	$(BIN)/framepace run sample_videos/pedestrians.mp4 --mode live --deadline 100ms \
	    --serve 127.0.0.1:0 \
	    --sink video:$(OUT)/pedestrians.mp4 --sink jsonl:$(OUT)/pedestrians.jsonl --report $(OUT)/report.json $(DEMO)
	@echo
	@echo "Look at   $(OUT)/pedestrians.mp4     what it saw: solid boxes are fresh, dashed ones forecast"
	@echo "          $(OUT)/pedestrians.jsonl   one result record a frame"
	@echo "          $(OUT)/report.json         where every frame went"

# All tests, or some: make test TESTS="tests/stages -k rtsp". Those that watch a running program have the machine alone.
test: $(DEVELOPED)
ifdef TESTS
	$(BIN)/python -m pytest $(TESTS)
else
	@failed=0; \
	$(BIN)/python -m pytest --numprocesses=auto -m "not alone" || failed=1; \
	$(BIN)/python -m pytest -m alone || failed=1; \
	exit $$failed
endif

# Parsers of foreign bytes, one after the other, for longer than make test: make fuzz SECONDS=600 TARGETS="sdp rtsp"
SECONDS ?= 60
fuzz: $(DEVELOPED)
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS) $(TARGETS)

lint: $(DEVELOPED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# What the wheels expect of a bare Debian or Ubuntu: opencv-python wants libGL and GLib.
system-packages:
	apt-get update
	apt-get install --yes --no-install-recommends python3-venv libgl1 libglib2.0-0

# What some tests want besides: a foreign RTSP server, a browser for the page, and Node.js for a foreign websocket client.
# Without them they are skipped.
test-packages:
	apt-get update
	apt-get install --yes --no-install-recommends python3 python3-gi gir1.2-gst-rtsp-server-1.0 \
	    gstreamer1.0-rtsp gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad chromium
	command -v npm >/dev/null || apt-get install --yes --no-install-recommends nodejs npm

# What benchmarks/peers wants for GStreamer as a peer, by the system's own Python.
peer-packages:
	apt-get update
	apt-get install --yes --no-install-recommends python3 python3-venv python3-gi gir1.2-gst-plugins-base-1.0 \
	    gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-libav

$(USED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "framepace needs Python 3.11 or later; say which: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@$(BIN)/python -c 'import cv2' || \
	    { echo "A system library is missing; on Debian and Ubuntu: sudo make system-packages"; exit 2; }
	@touch $@

$(DEVELOPED): $(USED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) $(OUT) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
