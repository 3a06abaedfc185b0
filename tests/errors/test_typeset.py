"""Reports that a browser prints, with text of their own, are read to the letter by the built program."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
import errors  # noqa: E402

PROGRAM = os.environ.get("CIC_KIOSK", str(ROOT / "target/debug/cic-kiosk"))


def test_no_value_of_a_typeset_report_is_lost(tmp_path):
    drawn, read = tmp_path / "drawn", tmp_path / "read"
    command = [ROOT / ".cache/python/bin/python", "-m", "cictrain.generate", "--out", drawn, "--count", "4"]
    command += ["--seed", str(errors.SEED), "--kind", "digital", "--typeset"]
    subprocess.run(command, cwd=ROOT / "models/training", check=True, capture_output=True)
    errors.read_all(PROGRAM, drawn, [name for name, _ in errors.truths(drawn)], read)
    documents = errors.judge_folder(drawn, read)
    assert sum(len(document.values) for document in documents) > 300
    assert not [(document.name, loss.name) for document in documents for loss in document.losses]
    assert not any(document.invented for document in documents)
