"""Tests that meet a real V4L2 camera and real GPIO lines. They load kernel modules, so they run in scripts/vm.sh alone."""

import os

import pytest


def pytest_sessionstart():
    if "CIC_KIOSK_VM" not in os.environ:
        pytest.exit("run them with: scripts/vm.sh run .cache/python/bin/python -m pytest tests/device", returncode=4)
