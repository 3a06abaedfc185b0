"""PyTorch weighs gigabytes: without it the generator is tested, and what trains is left out."""

import importlib.util

NEEDS_TORCH = ["test_detector.py", "test_lines.py", "test_models.py", "test_nets.py", "test_tuning.py"]

collect_ignore = [] if importlib.util.find_spec("torch") else NEEDS_TORCH


def pytest_report_header():
    return f"PyTorch is missing, left out: {', '.join(collect_ignore)}" if collect_ignore else "PyTorch is there: nothing left out"
