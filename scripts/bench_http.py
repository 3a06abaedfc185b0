#!/usr/bin/env python3
"""Measures what the HTTP server costs beside the bare engine, and prints Markdown.

The same scans go through `extract --jsonl`, before and after, and in between through `serve` under many clients, who
come again when they are told to. Meanwhile /healthz is asked ten times a second by a process of its own, and the
server's memory is read each second.

The overhead of a request is its time less that of the engine's stages, which /metrics has in fractions of a
millisecond. It is measured on an idle server with a digital report of one page, also filled up to the size of a scan: a
scan itself takes a hundred times as long as what is looked for, and its pages are read side by side, so that its stages
add up to more than the time they took.

Nothing here fails: machines are noisy. Needs nothing but Python.
"""

import argparse
import base64
import contextlib
import http.client
import itertools
import json
import multiprocessing
import os
import random
import re
import statistics
import struct
import subprocess
import tempfile
import threading
import time
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Where the program looks for ONNX Runtime when it is not at home; as in the Makefile.
os.environ.setdefault("ORT_DYLIB_PATH", str(ROOT / ".cache/onnxruntime/libonnxruntime.so"))

PATH = "/api/v2/ocr/document/credit_report"
BOUNDARY = "7MA4YWxkTrZu0gW"
SCAN_BYTES = 600_000
WARM_UP = 20  # seconds until the server holds what it needs under load
WINDOW = 10  # seconds in which large documents meet by chance, and memory has its peak
PROBE_EVERY = 0.1
LEAST_SHARE = 0.9  # of the bare engine's throughput
MOST_SPREAD = 0.1  # of the memory held
MOST_HEALTHZ = 0.05  # seconds, 99 of 100 times
MOST_OVERHEAD = 0.005  # seconds, the median


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def report_pdf(size=0):
    """A digital report of one small page, filled up with what no reader looks at."""
    lines = ["BAO CAO CHI TIET QUAN HE TIN DUNG", "1. THONG TIN CHUNG VE KHACH HANG", "Ma so CIC: 9473064492"]
    text = "".join(f"BT /F1 8 Tf 10 {76 - 14 * i} Td ({line}) Tj ET\n" for i, line in enumerate(lines)).encode()
    font = b"<< /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >> >> >>"
    filling = random.Random(1).randbytes(size)
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Count 1 /Kids [4 0 R] >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(text), text),
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 240 90] /Contents 3 0 R /Resources %s >>" % font,
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(filling), filling),
    ]
    file, table = b"%PDF-1.7\n", b"0000000000 65535 f \n"
    for number, body in enumerate(objects, 1):
        table += b"%010d 00000 n \n" % len(file)
        file += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    count = len(objects) + 1
    trailer = b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (count, len(file))
    return file + b"xref\n0 %d\n%s" % (count, table) + trailer


def blank_png(side=64):
    """A picture with nothing on it: the least that needs the models."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\xff" * side) * side)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def as_multipart(document):
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="img"; filename="scan.pdf"\r\n\r\n'
    body = head.encode() + document + f"\r\n--{BOUNDARY}--\r\n".encode()
    return "file", f"multipart/form-data; boundary={BOUNDARY}", body


def as_json(document):
    return "base64", "application/json", json.dumps({"img": base64.encodebytes(document).decode()}).encode()


class Engine:
    """The bare engine: one process, as many documents as it is given."""

    def __init__(self, options):
        self.command = [options.program, "extract", "--jsonl", "--threads", str(options.threads)]
        self.command += ["--models", ROOT / "models"]

    def read(self, files):
        """Seconds, and the answers."""
        begun = time.monotonic()
        done = subprocess.run([*self.command, *files], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        return time.monotonic() - begun, [json.loads(line) for line in done.stdout.splitlines()]

    def start(self):
        """Seconds until the models are loaded: those of a run over a blank picture, less what its stages took."""
        with tempfile.NamedTemporaryFile(suffix=".png") as picture:
            picture.write(blank_png())
            picture.flush()
            times = []
            for _ in range(5):
                seconds, [answer] = self.read([picture.name])
                stages = answer["meta"]["elapsed_ms"]
                times.append(seconds - sum(ms for stage, ms in stages.items() if stage != "load") / 1000)
        return statistics.median(times)

    def throughput(self, files, start):
        """Documents per second."""
        seconds, answers = self.read(files)
        wrong = [answer for answer in answers if answer["errorCode"] != "0"]
        if wrong or len(answers) != len(files):
            raise SystemExit(f"the engine cannot read the documents: {wrong[:1]}")
        return len(files) / (seconds - start)


class Server:
    """`serve` on a free port, with a key."""

    def __init__(self, options):
        self.options = options

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        program, state = self.options.program, Path(self.folder.name, "state")
        added = subprocess.check_output([program, "keys", "add", "bench", "--json", "--state", state])
        key = json.loads(added)
        basic = base64.b64encode(f"{key['api_key']}:{key['api_secret']}".encode()).decode()
        self.authorization = f"Basic {basic}"
        self.process = subprocess.Popen(
            [program, "serve", "--listen", "127.0.0.1:0", "--state", state, "--models", ROOT / "models"]
            + ["--threads", str(self.options.threads)],
            stdout=subprocess.PIPE,
        )
        self.address = self.process.stdout.readline().decode().strip().rpartition("/")[2]
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()

    def connect(self):
        return http.client.HTTPConnection(self.address, timeout=300)

    def post(self, connection, request):
        """Status, seconds to come again after, and body."""
        format_type, content_type, body = request
        headers = {"Authorization": self.authorization, "Content-Type": content_type}
        connection.request("POST", f"{PATH}?format_type={format_type}&get_thumb=false", body, headers)
        response = connection.getresponse()
        return response.status, int(response.getheader("Retry-After", 0)), response.read()

    def engine_seconds(self):
        """What the stages have taken since the server began."""
        with contextlib.closing(self.connect()) as connection:
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        return sum(float(seconds) for seconds in re.findall(r"^cic_stage_seconds_sum\S* (\S+)$", text, re.M))

    def resident(self):
        """MiB of memory that it holds."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"^VmRSS:\s+(\d+) kB$", status, re.M)[1]) / 1024


def overhead(server, requests, rounds):
    """Seconds that requests took beyond the engine, kind -> list; in turns, so that noise meets all kinds alike."""
    beyond = {kind: [] for kind in requests}
    for _ in range(rounds):
        for kind, request in requests.items():
            before = server.engine_seconds()
            begun = time.perf_counter()
            with contextlib.closing(server.connect()) as connection:
                status, _, _ = server.post(connection, request)
            seconds = time.perf_counter() - begun
            if status != 200:
                raise SystemExit(f"{kind}: HTTP status {status}")
            beyond[kind].append(seconds - (server.engine_seconds() - before))
    return beyond


class Load:
    """Clients that send documents in turn until the time is over."""

    def __init__(self, server, requests, clients):
        self.server = server
        self.requests = itertools.cycle(requests)
        self.lock = threading.Lock()
        self.over = threading.Event()
        self.answered, self.turned_away, self.failures = 0, 0, []
        # What they wait for at the end, they never get: the server is killed.
        self.clients = [threading.Thread(target=self.client, daemon=True) for _ in range(clients)]

    def client(self):
        connection = self.server.connect()
        while not self.over.is_set():
            with self.lock:
                request = next(self.requests)
            self.deliver(connection, request)

    def deliver(self, connection, request):
        """Sends one document until it is read."""
        while not self.over.is_set():
            try:
                status, retry_after, body = self.server.post(connection, request)
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                return self.failed(repr(error))
            if status == 503 and retry_after:
                with self.lock:
                    self.turned_away += 1
                # Until then, the server may have closed it.
                connection.close()
                self.over.wait(retry_after)
                continue
            if status != 200 or b'"errorCode":"0"' not in body:
                return self.failed(f"{status} {body[:200]}")
            # What is answered after the end would count for less time than it took.
            with self.lock:
                self.answered += not self.over.is_set()
            return None
        return None

    def failed(self, why):
        with self.lock:
            self.failures += [why] * (not self.over.is_set())

    def run(self, seconds, each_second):
        for client in self.clients:
            client.start()
        begun = time.monotonic()
        for second in range(seconds):
            time.sleep(max(0, begun + second + 1 - time.monotonic()))
            each_second(second + 1)
        elapsed = time.monotonic() - begun
        self.over.set()
        return self.answered / elapsed


def probe(address, over, results):
    """Asks /healthz, on a connection of its own and on one that is kept; runs in a process of its own, where no other
    thread keeps it waiting."""
    seconds, failures = {"new": [], "kept": []}, 0
    kept = http.client.HTTPConnection(address, timeout=60)
    due = time.monotonic()
    while not over.is_set():
        for kind in seconds:
            connection = kept if kind == "kept" else http.client.HTTPConnection(address, timeout=60)
            begun = time.perf_counter()
            try:
                connection.request("GET", "/healthz")
                response = connection.getresponse()
                response.read()
                failures += response.status != 200
            except (OSError, http.client.HTTPException):
                failures += 1
                connection.close()
            seconds[kind].append(time.perf_counter() - begun)
            if kind == "new":
                connection.close()
        due = max(due + PROBE_EVERY, time.monotonic())
        over.wait(due - time.monotonic())
    results.put((seconds, failures))


@contextlib.contextmanager
def probing(server):
    """Gives a list that holds the probe's results when the block is left."""
    over, results, found = multiprocessing.Event(), multiprocessing.Queue(), []
    process = multiprocessing.Process(target=probe, args=(server.address, over, results))
    process.start()
    yield found
    over.set()
    found.extend(results.get())
    process.join()


def steadiness(memory):
    """Of (second, MiB) after the warm-up: (max - min) / median of all, the same of the peaks, MiB that it grows by in a
    minute."""
    settled = [point for point in memory if point[0] > WARM_UP] or memory
    seconds, held = zip(*settled)
    peaks = [max(held[at : at + WINDOW]) for at in range(0, len(held), WINDOW)]
    slope = statistics.linear_regression([second / 60 for second in seconds], held).slope if len(held) > 1 else 0
    return spread(held), spread(peaks), slope


def spread(values):
    return (max(values) - min(values)) / statistics.median(values)


def show(heads, *rows):
    print(f"| {' | '.join(heads)} |")
    print(f"| --- |{' ---: |' * (len(heads) - 1)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    print()


def bar(well, words):
    return f"{'pass' if well else 'FAIL'} ({words})"


def below(seconds, most):
    return bar(seconds < most, f"< {1000 * most:.0f} ms")


def milliseconds(*seconds):
    return [f"{1000 * value:.2f}" for value in seconds]


def main():
    samples = ROOT / "../shared/samples"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default=ROOT / "target/release/cic-kiosk", help="cic-kiosk")
    parser.add_argument("--folder", type=Path, default=samples if samples.exists() else ROOT / "tests/data/reports")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=int, default=300, help="of load")
    parser.add_argument("--rounds", type=int, default=30, help="requests of each kind for the overhead")
    parser.add_argument("--documents", type=int, default=36, help="for the bare engine, each time")
    options = parser.parse_args()

    scans = sorted(options.folder.glob("scan*.pdf"))
    files = list(itertools.islice(itertools.cycle(scans), options.documents))
    engine = Engine(options)
    start = engine.start()
    before = engine.throughput(files, start)
    memory = []
    with Server(options) as server:
        digital, large = report_pdf(), report_pdf(SCAN_BYTES)
        kinds = {
            "digital page, multipart": as_multipart(digital),
            f"{SCAN_BYTES // 1000} kB, multipart": as_multipart(large),
            f"{SCAN_BYTES // 1000} kB, JSON": as_json(large),
        }
        overhead(server, kinds, 3)
        beyond = overhead(server, kinds, options.rounds)
        load = Load(server, [as_multipart(scan.read_bytes()) for scan in scans], options.clients)
        with probing(server) as probed:
            served = load.run(options.seconds, lambda second: memory.append((second, server.resident())))
        health, unhealthy = probed
    after = engine.throughput(files, start)

    share = 2 * served / (before + after)
    steady, steady_peaks, slope = steadiness(memory)
    held = [size for second, size in memory if second > WARM_UP] or [0]
    flat = f"<= {100 * MOST_SPREAD:.0f} %"
    failed = len(load.failures)
    print(f"{os.cpu_count()} cores; {options.threads} threads; {len(scans)} scans in turn")
    print(f"{options.clients} clients for {options.seconds} s\n")
    show(
        ("under load", "value", "bar"),
        ("documents/s, engine alone", f"{before:.2f} before, {after:.2f} after", ""),
        ("documents/s, served", f"{served:.2f}", ""),
        ("served / alone", f"{100 * share:.1f} %", bar(share >= LEAST_SHARE, f">= {100 * LEAST_SHARE:.0f} %")),
        ("requests that failed", f"{failed} of {load.answered + failed}", bar(failed == 0, "0")),
        ("requests answered 503", f"{load.turned_away}", ""),
        ("memory", f"{min(held):.0f} to {max(held):.0f} MiB, {slope:+.1f} MiB a minute", ""),
        ("(max - min) / median of it", f"{100 * steady:.1f} %", bar(steady <= MOST_SPREAD, flat)),
        (f"the same of its peaks in {WINDOW} s", f"{100 * steady_peaks:.1f} %", bar(steady_peaks <= MOST_SPREAD, flat)),
    )
    rows = []
    for kind, times in health.items():
        p99 = percentile(times, 0.99)
        figures = milliseconds(statistics.median(times), p99, max(times))
        rows.append((f"/healthz, {kind} connection", *figures, below(p99, MOST_HEALTHZ)))
    show(("under load", "p50, ms", "p99, ms", "max, ms", "bar"), *rows)
    rows = []
    for kind, times in beyond.items():
        median = statistics.median(times)
        rows.append((kind, *milliseconds(median, percentile(times, 0.95)), below(median, MOST_OVERHEAD)))
    show(("overhead on an idle server", "median, ms", "p95, ms", "bar"), *rows)
    print(f"Start and loading, taken off the engine's time: {start:.2f} s.")
    for failure in sorted(set(load.failures))[:5]:
        print(f"failed: {failure}")
    if unhealthy:
        print(f"/healthz failed {unhealthy} times")


if __name__ == "__main__":
    main()
