#!/usr/bin/env python3
"""Measures an operator's commands with a thousand simulated kiosks at one mosquitto on this machine; prints Markdown.

The bars: all kiosks are born within 60 s; settings reach all and are reported by all within 30 s; a command of the
operator's answers within 2 s; a roll-out with 5 % planted failures stops at the wave at which it must.

mosquitto has its own defaults but for max_queued_messages, as docs/mqtt.md has it. Nothing here fails: machines are
noisy.

Needs the tests' Python: .cache/http/bin/python scripts/bench_fleet.py
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = os.environ.get("CIC_KIOSK", str(ROOT / "target/release/cic-kiosk"))

WAVES = [("1", 1), ("5%", 5), ("25%", 25), ("100%", 100)]
STOP_AT = 3.0  # per cent


def clocked(*command, status=0):
    begun = time.monotonic()
    ended = subprocess.run(command, capture_output=True, text=True, timeout=600)
    seconds = time.monotonic() - begun
    assert ended.returncode == status, (command, ended.returncode, ended.stdout[-2000:], ended.stderr[-2000:])
    return seconds, ended.stdout


def memory(pid):
    """MiB that it held at most."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmHWM")) / 1024


def must_stop(kiosks):
    """The wave at which it must stop, by the order of its kiosks and which of them fail: worked out here, not asked."""
    failing = [int(kiosk["id"].rpartition("/k")[2]) % 20 == 0 for kiosk in kiosks]
    for wave, (_, share) in enumerate(WAVES):
        bound = 1 if wave == 0 else -(-len(kiosks) * share // 100)
        if sum(failing[:bound]) > STOP_AT / 100 * bound:
            return wave
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kiosks", type=int, default=1000)
    parser.add_argument("--keep", type=Path, help="folder for a report of it all")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(options, Path(folder))


def measure(options, folder):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (folder / "mosquitto.conf").write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 100000\nuser root\n", encoding="utf-8"
    )
    path = os.environ["PATH"] + ":/usr/sbin"
    mosquitto = subprocess.Popen(
        ["mosquitto", "-c", folder / "mosquitto.conf"], env={**os.environ, "PATH": path}, stderr=subprocess.DEVNULL
    )
    time.sleep(1)
    broker = ["--broker", f"mqtt://127.0.0.1:{port}"]
    simulate = [PROGRAM, "fleet", "simulate", "--kiosks", str(options.kiosks), "--fail", "5%", *broker]
    begun = time.monotonic()
    kiosks = subprocess.Popen(simulate, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        line = kiosks.stdout.readline()
        assert line.startswith("ready"), line
        rows = [(f"{options.kiosks} kiosks are born", time.monotonic() - begun, 60.0)]

        def fleet(*words, status=0):
            return clocked(PROGRAM, "fleet", *words, *broker, status=status)

        seconds, text = fleet("list")
        assert f"{options.kiosks} kiosks, {options.kiosks} online" in text, text[-200:]
        rows.append(("`list`", seconds, 2.0))
        rows.append(("`list --json`", fleet("list", "--json")[0], 2.0))
        rows.append(("`list --branch --version`", fleet("list", "--branch", "sim-02", "--version", "0.1.0")[0], 2.0))
        # Those that are planted refuse it, and say so.
        seconds, text = fleet("config", "set", "--all", "capture.asks=4", status=1)
        failing = options.kiosks // 20
        assert f"refused by {failing}, and 0 have not" in text, text[-300:]
        rows.append(("`config set --all`, until all have reported", seconds, 30.0))
        rows.append(("`config set --all --no-wait`", fleet("config", "set", "--all", "capture.asks=5", "--no-wait")[0], 2.0))
        time.sleep(10)
        rows.append(("`config diff`", fleet("config", "diff", status=1)[0], 2.0))
        rows.append(("`send --no-wait --all`", fleet("send", "identify", "--all", "--no-wait")[0], 2.0))
        time.sleep(10)
        rows.append(("`send --all`, until all have answered", fleet("send", "identify", "--all", status=1)[0], None))
        rows.append(("`send --clear --all`", fleet("send", "--clear", "--all")[0], 2.0))
        rows += stops(options, folder, fleet)
        seconds, _ = fleet("rollout", "abort", folder / "model.json", "--undo")
        rows.append(("`rollout abort --undo`, until all are back", seconds, None))
        if options.keep:
            fleet("report", "--minutes", "3", "--out", options.keep / "report.html")
        print("| what | seconds | bar |\n| --- | --- | --- |")
        for what, seconds, bar in rows:
            if isinstance(seconds, str):
                print(f"| {what} | {seconds} | |")
            else:
                print(f"| {what} | {seconds:.2f} | {'' if bar is None else f'{bar:.0f}'} |")
        peak = f"{memory(kiosks.pid):.0f} MiB at most, mosquitto {memory(mosquitto.pid):.0f} MiB"
        print(f"\nThe simulator held {peak}.")
    finally:
        kiosks.terminate()
        kiosks.wait()
        mosquitto.terminate()
        mosquitto.wait()


def stops(options, folder, fleet):
    """A roll-out of a model and one of settings, of which 5 % fail."""
    package, settings = folder / "package.tar", folder / "settings.toml"
    package.write_bytes(os.urandom(500_000))
    settings.write_text("[capture]\nidle_seconds = 31\n", encoding="utf-8")
    waves = ",".join(name for name, _ in WAVES)
    how = ["--waves", waves, "--stop-at", f"{STOP_AT}%", "--soak", "2", "--at-once", "100"]
    for name, cargo in [("a model", ["--model", package]), ("settings", ["--settings", settings])]:
        path = folder / f"{name.split()[-1]}.json"
        seconds, _ = fleet("rollout", "start", *cargo, *how, "--state", path, status=1)
        state = json.loads(path.read_text(encoding="utf-8"))
        must = must_stop(state["kiosks"])
        bound = 1 if state["wave"] == 0 else -(-len(state["kiosks"]) * WAVES[state["wave"]][1] // 100)
        told = sum(kiosk["outcome"] != "waiting" for kiosk in state["kiosks"])
        assert state["phase"]["phase"] == "stopped" and told <= bound
        right = "as it must" if state["wave"] == must else f"but must at wave {must + 1}"
        yield (
            f"roll-out of {name}",
            f"stopped at wave {state['wave'] + 1} {right}, {told} of {len(state['kiosks'])} told, {seconds:.0f} s",
            None,
        )


if __name__ == "__main__":
    sys.exit(main())
