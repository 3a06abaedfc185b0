#!/usr/bin/env python3
"""Measures `cic-kiosk run`: accepting, reading, waiting, starting, delivering, idling and ending; prints Markdown.

One kiosk goes through a day without its broker, and the day after: documents are handed in with `submit` while the
broker is away, the kiosk reads them, is started anew over all that waits, and delivers it when the broker is back. Each
figure stands beside that of something which does the same and no more:

- accepting: the same bytes, written to a file each, with fsync and rename, as a spool would do
- reading: `extract` over the same files
- starting: the same over an empty outbox
- delivering: `mosquitto_pub -l -q 1` with as many lines of the same length, to the same broker
- idling: mosquitto, which idles beside it

Documents are digital, so that reading does not take all day. The bar of 50,000 waiting results would: the outbox's own
bench has it (`cargo test --release -- --ignored bench_outbox`). Nothing here fails: machines are noisy.

Needs the tests' Python: .cache/http/bin/python scripts/bench_daemon.py
"""

import argparse
import itertools
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

AT_ONCE = 100  # documents for one `submit`
IDLE = 30  # seconds
MOST_EXIT = 2.0  # seconds
MOST_START = 1.0  # seconds


def clocked(action):
    """Seconds, and what it gives."""
    begun = time.monotonic()
    given = action()
    return time.monotonic() - begun, given


def memory(pid):
    """MiB that it holds now, and that it held at most."""
    status = Path(f"/proc/{pid}/status").read_text()
    return tuple(int(re.search(rf"^{name}:\s+(\d+) kB$", status, re.M)[1]) / 1024 for name in ("VmRSS", "VmHWM"))


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def spool(contents, folder):
    """Writes each to a file that is there as a whole or not at all, even when the power fails."""
    directory = os.open(folder, os.O_RDONLY)
    for number, content in enumerate(contents):
        new = folder / f"{number}.new"
        with new.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.rename(folder / f"{number}.pdf")
        os.fsync(directory)
    os.close(directory)


class Arrivals:
    """When messages arrive, in seconds, each topic once."""

    def __init__(self, port, topic):
        command = ["mosquitto_sub", "-p", str(port), "-q", "1", "-t", topic, "-F", "%t %l"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.times, self.bytes, self.topics = [], [], set()
        threading.Thread(target=self._take_down, daemon=True).start()

    def _take_down(self):
        for line in self.process.stdout:
            topic, length = line.split()
            # The peer has one topic for all.
            if "/result/" not in topic or topic not in self.topics:
                self.topics.add(topic)
                self.times.append(time.monotonic())
                self.bytes.append(int(length))

    def wait_for(self, number):
        """Messages per second, from the first one to the last."""
        while len(self.times) < number:
            if self.process.poll() is not None:
                raise SystemExit("mosquitto_sub ended")
            time.sleep(0.01)
        self.process.kill()
        return (number - 1) / (self.times[-1] - self.times[0])


def publish_lines(broker, number, length):
    """Messages per second of mosquitto_pub."""
    arrivals = Arrivals(broker.port, "peer")
    command = ["mosquitto_sub", "-p", str(broker.port), "-t", "$SYS/broker/version", "-C", "1"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    command = ["mosquitto_pub", "-p", str(broker.port), "-q", "1", "-t", "peer", "-l"]
    subprocess.run(command, input=("x" * length + "\n") * number, text=True, check=True)
    return arrivals.wait_for(number)


def idle(*pids):
    """Share of a core that each takes, over a while."""
    before = [cpu_seconds(pid) for pid in pids]
    time.sleep(IDLE)
    return [(cpu_seconds(pid) - begun) / IDLE for pid, begun in zip(pids, before, strict=True)]


def show(*rows):
    heads = "", "cic-kiosk run", "beside it", "bar"
    print(f"| {' | '.join(heads)} |")
    print("| --- | ---: | ---: | ---: |")
    for row in rows:
        print(f"| {' | '.join(row)} |")


def bar(well, words):
    return f"{'pass' if well else 'FAIL'} ({words})"


def documents(options, folder):
    """As many files as are wanted, the samples in turn."""
    from papers import Paper

    folder.mkdir()
    samples = sorted(options.folder.glob("digital*.pdf")) or [Paper(0).put(folder, "sample.pdf")]
    files = [folder / f"{number}.pdf" for number in range(options.results)]
    for file, sample in zip(files, itertools.cycle(samples)):
        file.symlink_to(sample)
    return files


def measure(options, folder):
    # They find the program by the environment.
    from broker import Mosquitto
    from daemon import Daemon
    from kiosk import until

    def started(kiosk):
        seconds, _ = clocked(lambda: kiosk.start(log_level="info"))
        return seconds

    def stopped(kiosk):
        seconds, status = clocked(kiosk.stop)
        if status != 0:
            raise SystemExit(f"the kiosk ended with {status}")
        return seconds

    count = options.results
    broker = Mosquitto(folder / "broker")
    # Its defaults, as a branch would have them.
    broker.settings.remove("max_inflight_messages 0")
    broker.configure()
    kiosk = Daemon("bench", folder / "kiosk", folder, f"mqtt://127.0.0.1:{broker.port}")
    kiosk.configure(mqtt={"retry_max_seconds": 1})
    files = documents(options, folder / "papers")
    parts = [files[at : at + AT_ONCE] for at in range(0, count, AT_ONCE)]

    begin_empty = started(kiosk)
    rss_empty, _ = memory(kiosk.process.pid)
    begun = time.monotonic()
    accepting, submitted = clocked(lambda: [kiosk.submit(*part) for part in parts])
    if any(one.status for one in submitted):
        raise SystemExit(f"submit failed: {[one.complaint for one in submitted if one.status][:1]}")
    while kiosk.waiting("document"):
        time.sleep(0.2)
    reading = time.monotonic() - begun
    rss_read, most_read = memory(kiosk.process.pid)
    (folder / "spool").mkdir()
    spooling, _ = clocked(lambda: spool([file.read_bytes() for file in files], folder / "spool"))
    command = [options.program, "extract", "--jsonl"]
    extracting, _ = clocked(lambda: [subprocess.run([*command, *part], stdout=subprocess.DEVNULL) for part in parts])

    stop_full = stopped(kiosk)
    begin_full = started(kiosk)
    rss_full, most_full = memory(kiosk.process.pid)
    with broker:
        back = time.monotonic()
        arrivals = Arrivals(broker.port, "cic/v1/+/+/result/+")
        delivering = arrivals.wait_for(count)
        length = round(statistics.mean(arrivals.bytes))
        until(lambda: not kiosk.waiting("result"))
        _, most_delivering = memory(kiosk.process.pid)
        publishing = publish_lines(broker, count, length)
        stop = stopped(kiosk)

        begin_delivered = started(kiosk)
        kiosk_idle, broker_idle = idle(kiosk.process.pid, broker.process.pid)
        rss_idle, _ = memory(kiosk.process.pid)
        rss_broker, _ = memory(broker.process.pid)
        stop_idle = stopped(kiosk)

    print(f"{os.cpu_count()} cores; {count} documents, whose results have {length} bytes on average\n")
    exits = stop_full, stop, stop_idle
    exit_bar = bar(max(exits) < MOST_EXIT, f"< {MOST_EXIT:.0f} s")
    start_bar = bar(begin_full < MOST_START, f"< {MOST_START:.0f} s")
    show(
        ("accepted with `submit`, documents/s", f"{count / accepting:.0f}", f"{count / spooling:.0f} spooled", ""),
        ("read, documents/s", f"{count / reading:.0f}", f"{count / extracting:.0f} extracted", ""),
        ("memory when all were read, MiB (most)", f"{rss_read:.0f} ({most_read:.0f})", "", ""),
        (f"start, {count} results waiting, s", f"{begin_full:.2f}", f"{begin_empty:.2f} with none", start_bar),
        ("memory after it, MiB (most)", f"{rss_full:.0f} ({most_full:.0f})", f"{rss_empty:.0f} with none waiting", ""),
        ("from the broker's return to the first result, s", f"{arrivals.times[0] - back:.1f}", "", ""),
        ("delivered, results/s", f"{delivering:.0f}", f"{publishing:.0f} by mosquitto_pub", ""),
        ("memory at most meanwhile, MiB", f"{most_delivering:.0f}", "", ""),
        (f"start, {count} results delivered and kept, s", f"{begin_delivered:.2f}", "", ""),
        ("idle: memory, MiB", f"{rss_idle:.0f}", f"{rss_broker:.0f} mosquitto", ""),
        (f"idle: CPU over {IDLE} s, % of a core", f"{100 * kiosk_idle:.2f}", f"{100 * broker_idle:.2f} mosquitto", ""),
        ("SIGTERM to exit, s: backlog, drained, idle", ", ".join(f"{one:.2f}" for one in exits), "", exit_bar),
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default=str(ROOT / "target/release/cic-kiosk"), help="cic-kiosk")
    parser.add_argument("--results", type=int, default=2000, help="that wait for the broker")
    samples = (ROOT / "../shared/samples").resolve()
    parser.add_argument("--folder", type=Path, default=samples, help="digital*.pdf in it are read, or a page made here")
    options = parser.parse_args()
    os.environ["CIC_KIOSK"] = options.program
    sys.path[:0] = [str(ROOT / "tests/daemon"), str(ROOT / "tests/http")]
    with tempfile.TemporaryDirectory() as folder:
        measure(options, Path(folder))


if __name__ == "__main__":
    main()
