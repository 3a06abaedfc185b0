#!/usr/bin/env python3
"""Compares cic-kiosk with Tesseract 5 on the same page pictures, and prints Markdown.

Both read every page in turn, each in a process of its own with the same number of threads, start and loading of models
included. A true value counts as held by an engine's text when all its words stand in the text of the document: lines of
a wrapped value lie apart there. What is exactly right in the JSON is measured by `cic-kiosk eval` on the documents
themselves. Needs nothing but Python, pdftoppm and Tesseract with Vietnamese.
"""

import argparse
import collections
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import unicodedata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DPI = 200


def words(text):
    return unicodedata.normalize("NFC", text).split()


def true_values(truth):
    """Every scalar, cell, and name and amount of a debt that is on the paper."""
    for info in truth.get("infos") or [truth["info"]]:
        for value in info.values():
            if isinstance(value, str):
                yield value
                continue
            for cell in (cell for row in value for cell in row):
                if isinstance(cell, list):
                    yield from (text for debt in cell for text in (debt["debt_name"], debt["debt"]))
                else:
                    yield cell


def share_held(truth, text):
    """How many of the values are in the text, and how many there are."""
    found = set(words(text))
    values = [words(value) for value in true_values(truth) if value.strip()]
    # `Y` and `N` stand for marks and words of many kinds.
    values = [value for value in values if value not in (["Y"], ["N"])]
    return sum(set(value) <= found for value in values), len(values)


def measured(command, threads):
    """What a command prints, the seconds it takes, and the bytes of memory it takes at most."""
    environment = {**os.environ, "OMP_THREAD_LIMIT": str(threads)}
    begun = time.monotonic()
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen(command, stdout=output, stderr=subprocess.PIPE, env=environment)
        errors = child.stderr.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - begun
        if child.returncode not in (0, 1):
            sys.exit(f"{command[0]} failed: {errors.decode(errors='replace')}")
        output.seek(0)
        return output.read().decode(errors="replace"), seconds, usage.ru_maxrss * 1024


def render(document, folder):
    subprocess.run(["pdftoppm", "-r", str(DPI), "-png", document, folder / "page"], check=True)
    return sorted(folder.glob("page*.png"))


def documents(folder, most):
    """Truths with their PDFs by kind, at most so many of each kind."""
    found = collections.defaultdict(list)
    for path in sorted(folder.glob("*.json")):
        truth, document = json.loads(path.read_text(encoding="utf-8")), path.with_suffix(".pdf")
        if "errorCode" not in truth and document.exists() and len(found[truth["kind"]]) < most:
            found[truth["kind"]].append((truth, document))
    return found


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def exactness(kiosk, folder):
    """From the program's own evaluation: kind -> percentage of values that are exactly right."""
    printed = subprocess.run([*kiosk("eval"), folder], capture_output=True, text=True).stdout
    lines = [line.split() for line in printed.split("\n\n")[0].splitlines()[1:]]
    return {line[0]: line[3] for line in lines}


def main():
    samples = ROOT / "../shared/samples"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default=ROOT / "target/release/cic-kiosk", help="cic-kiosk")
    parser.add_argument("--folder", type=Path, default=samples if samples.exists() else ROOT / "tests/data/reports")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--documents", type=int, default=1000, help="documents of each kind, at most")
    options = parser.parse_args()

    def kiosk(subcommand):
        return [options.program, subcommand, "--models", ROOT / "models", "--threads", str(options.threads)]

    engines = {
        "cic-kiosk": lambda page: [*kiosk("extract"), "--format", "text", page],
        "Tesseract": lambda page: ["tesseract", page, "stdout", "-l", "vie"],
    }
    kinds = documents(options.folder, options.documents)
    seconds, memory = collections.defaultdict(list), collections.Counter()
    held, loading = collections.defaultdict(lambda: [0, 0]), []
    for kind, found in sorted(kinds.items()):
        for truth, document in found:
            with tempfile.TemporaryDirectory() as folder:
                pages = render(document, Path(folder))
                texts = {name: "" for name in engines}
                for page in pages:
                    for name, command in engines.items():
                        text, took, peak = measured(command(page), options.threads)
                        texts[name] += text
                        seconds[name, kind].append(took)
                        memory[name] = max(memory[name], peak)
                for name in engines:
                    right, of = share_held(truth, texts[name])
                    held[name, kind][0] += right
                    held[name, kind][1] += of
                answer, _, _ = measured([*kiosk("extract"), pages[0]], options.threads)
                loading.append(json.loads(answer)["meta"]["elapsed_ms"]["load"])
            print(f"{document.name}: {len(pages)} pages", file=sys.stderr)
    exact = exactness(kiosk, options.folder)

    version = subprocess.run(["tesseract", "--version"], capture_output=True, text=True).stdout.split("\n")[0]
    print(f"{version} (vie); {DPI} dpi; {options.threads} threads each; {os.cpu_count()} cores\n")
    print("| kind | pages | engine | s/page, median | s/page, p95 | values in the text | values right in the JSON |")
    print("| --- | ---: | --- | ---: | ---: | ---: | ---: |")
    for kind in sorted(kinds):
        for name in engines:
            times, (right, of) = seconds[name, kind], held[name, kind]
            json_share = f"{exact.get(kind, '-')} %" if name == "cic-kiosk" else "-"
            print(
                f"| {kind} | {len(times)} | {name} | {statistics.median(times):.2f} | {percentile(times, 0.95):.2f} "
                f"| {100 * right / of:.1f} % | {json_share} |"
            )
    every = {name: [t for (n, _), times in seconds.items() if n == name for t in times] for name in engines}
    faster = statistics.median(every["Tesseract"]) / statistics.median(every["cic-kiosk"])
    print(f"\ncic-kiosk takes 1/{faster:.1f} of Tesseract's time for the median page.")
    for name in engines:
        print(f"Peak memory of {name}: {memory[name] / 2**20:.0f} MiB.")
    print(f"Loading cic-kiosk's models: {statistics.median(loading):.0f} ms (median), {max(loading)} ms at most.")


if __name__ == "__main__":
    main()
