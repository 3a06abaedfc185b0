"""Under systemd the log goes to the journal, with fields to search by. The journald is a real one."""

import json
import subprocess
import sys
from pathlib import Path

from kiosk import PATIENCE, until


def entries(journal: Path, *matches: str) -> list[dict]:
    command = ["journalctl", "--directory", journal, "--output", "json", "--all", *matches]
    result = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_log_goes_to_the_journal_with_fields_of_its_own(open_branch, new_paper, tmp_path, logs):
    branch = open_branch()
    run = tmp_path / "run"
    journald = [sys.executable, Path(__file__).with_name("journald.py"), run]
    branch.kiosk.start(under=["unshare", "--mount", "--propagation", "private", *journald], log_level="debug")
    [scan_id] = branch.kiosk.scan(new_paper())
    branch.listener.wait_for([scan_id])
    journal = run / "log/journal"
    read = until(lambda: entries(journal, f"SCAN_ID={scan_id}", "STAGE=read"))
    assert len(read) == 1 and read[0]["MESSAGE"] == "read" and read[0]["PRIORITY"] == "5"
    assert read[0]["SYSLOG_IDENTIFIER"] == "cic-kiosk"
    assert int(read[0]["ELAPSED_MS"]) >= 0 and read[0]["CODE"] == "0"
    until(lambda: entries(journal, f"SCAN_ID={scan_id}", "MESSAGE=delivered"))
    assert entries(journal, f"SCAN_ID={scan_id}", "STAGE=decode")
    # Nothing goes to stderr beside it.
    assert branch.kiosk.stop() == 0
    everything = entries(journal)
    assert not [entry for entry in everything if entry.get("_TRANSPORT") == "stdout"]
    (logs / f"{tmp_path.name}-journal.log").write_text(json.dumps(everything), encoding="utf-8")
