"""Tests that meet a V4L2 camera, GPIO lines and a TPM2 of the kernel's. They load modules, so they run in scripts/vm.sh alone."""

import os

import pytest


def pytest_sessionstart():
    if "CIC_KIOSK_VM" not in os.environ:
        pytest.exit("run them with: scripts/vm.sh run .cache/http/bin/python -m pytest tests/device", returncode=4)
