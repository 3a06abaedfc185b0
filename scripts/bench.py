#!/usr/bin/env python3
"""Compares cic-kiosk with Tesseract 5 and RapidOCR on the same page pictures; writes docs/benchmark.md and README's rows.

All read every page in turn, each page in a process of its own with the same number of threads, start and loading of
models included; then all pages once more in one process, one after the other, and of cic-kiosk again and again, to see what memory
that holds. A true value counts as held by an engine's text when all its words stand in the text of the document: lines of a
wrapped value lie apart there. What is exactly right in the JSON is measured by `cic-kiosk eval` on the documents themselves.
The models' operations are counted, and what this machine needs for them at least (bench_floor.py).

Needs pdftoppm, Tesseract with Vietnamese, and a Python with what bench-requirements.txt names, for the programs beside
this one. Itself it takes nothing but Python's own library: what a parent holds in memory counts among its children's.
"""

import argparse
import collections
import json
import os
import platform
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
import unicodedata
from datetime import date
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
DPI = 200
TESSDATA = Path("/usr/share/tesseract-ocr/5/tessdata")
# What programs of every kind load: Debian's C and C++ runtimes.
RUNTIMES = re.compile(r"/(ld-linux|libc|libm|libdl|librt|libpthread|libgcc_s|libstdc\+\+|libgomp)[-.]")

# Memory is measured after the first FEW pages and after the last of MANY; a quick look takes fewer.
FEW, MANY, QUICK = 50, 2000, 200

COLUMNS = ["kind", "engine", "pages", "s/page, median", "s/page, p95", "times Tesseract's speed", "s/page in one process"]
COLUMNS += ["peak MiB", "MB on disk", "values in the text", "… case, marks, blanks aside", "values right in the JSON"]

# README.md's rows stand between them.
BEGIN, END = "<!-- `make bench` writes these rows -->", "<!-- as far as here -->"


class Page(NamedTuple):
    kind: str
    document: Path
    picture: Path


def folded(text):
    """Without case and marks, as the Latin letters that they are set on."""
    letters = unicodedata.normalize("NFD", text.casefold().replace("đ", "d"))
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


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
    """How many of the values are in the text, how many when case, marks and blanks do not count, and how many there are."""
    found, run = set(words(text)), folded("".join(words(text)))
    values = [words(value) for value in true_values(truth) if value.strip()]
    # `Y` and `N` stand for marks and words of many kinds.
    values = [value for value in values if value not in (["Y"], ["N"])]
    held = sum(set(value) <= found for value in values)
    alike = sum(all(folded(word) in run for word in value) for value in values)
    return held, alike, len(values)


def limited(threads):
    """The environment for a program that takes its number of threads from there."""
    return {**os.environ, "OMP_THREAD_LIMIT": str(threads)}


def measured(command, threads):
    """What a command prints, the seconds it takes, and the bytes of memory it takes at most."""
    begun = time.monotonic()
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen(command, stdout=output, stderr=subprocess.PIPE, env=limited(threads))
        errors = child.stderr.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - begun
        if child.returncode not in (0, 1):
            sys.exit(f"{command[0]} failed: {errors.decode(errors='replace')}")
        output.seek(0)
        return output.read().decode(errors="replace"), seconds, usage.ru_maxrss * 1024


def resident(process, of):
    """MiB of memory that a process holds, `VmRSS`, or has held at most, `VmHWM`."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{of}:")) / 1024


def printed(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def beside(folder, pairs):
    """A folder of documents with their truths, as `eval` takes it: links to the documents."""
    folder.mkdir()
    for truth, document in pairs:
        (folder / document.name).symlink_to(document.resolve())
        (folder / document.name).with_suffix(".json").write_text(json.dumps(truth), encoding="utf-8")
    return folder


def libraries(file):
    """The shared libraries that it is linked to, runtimes aside."""
    found = re.findall(r"=> (/\S+)", printed("ldd", file))
    return {Path(library).resolve() for library in found if not RUNTIMES.search(library)}


class Kiosk:
    """cic-kiosk in one of its precisions."""

    def __init__(self, options, precision):
        self.options, self.precision = options, precision
        self.name = f"cic-kiosk {precision}"
        self.models_ms = []  # of each page, as read one after the other: detector, recogniser

    def _command(self, subcommand):
        models, threads = ROOT / "models", str(self.options.threads)
        return [self.options.program, subcommand, "--models", models, "--threads", threads, "--precision", self.precision]

    def command(self, page):
        return [*self._command("extract"), "--format", "text", page.picture]

    def text(self, output):
        return output

    def warm(self, pages):
        """Seconds for these pages in one process, and their number: what `eval`, which reads one after the other, took."""
        with tempfile.TemporaryDirectory() as folder:
            answers = Path(folder, "answers")
            truths = [({"kind": page.kind, "info": {}}, page.picture) for page in pages]
            asked = beside(Path(folder, "pages"), truths)
            measured([*self._command("eval"), asked, "--answers", answers], self.options.threads)
            stages = [json.loads(answer.read_bytes())["meta"]["elapsed_ms"] for answer in answers.iterdir()]
        self.models_ms += [(took["detect"], took["recognise"]) for took in stages]
        return sum(sum(took.values()) - took.get("load", 0) for took in stages) / 1000, len(pages)

    def loading(self, page):
        """Milliseconds."""
        answer, _, _ = measured([*self._command("extract"), page.picture], self.options.threads)
        return json.loads(answer)["meta"]["elapsed_ms"]["load"]

    def memory(self, pairs, pages):
        """MiB that one process holds after the first pages of so many, after the last ones, and at most: documents of all
        kinds one after the other, in an order by chance."""
        chance, every = random.Random(1), [document for _, document in pairs]
        order = [document for _ in range(pages // len(every) + 1) for document in chance.sample(every, len(every))]
        command = [*self._command("extract"), "--jsonl", *order]
        read, held = 0, []
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=limited(self.options.threads)) as child:
            for answer in child.stdout:
                read += json.loads(answer)["meta"]["pages"]
                held.append((read, *(resident(child.pid, of) for of in ("VmRSS", "VmHWM"))))
                if read >= pages:
                    child.kill()
                    break
        first = [now for at, now, _ in held if FEW <= at <= 2 * FEW]
        last = [now for at, now, _ in held if at >= read - FEW]
        return statistics.median(first), statistics.median(last), held[-1][2]

    def exact(self, pairs):
        """By its own evaluation: kind -> percentage of values that are exactly right, and that of all."""
        with tempfile.TemporaryDirectory() as folder:
            figures, _, _ = measured([*self._command("eval"), beside(Path(folder, "documents"), pairs)], self.options.threads)
        lines = [line.split() for line in figures.split("\n\n")[0].splitlines()[1:]]
        return {line[0]: line[3] for line in lines}

    def size(self):
        models = [file for file in (ROOT / "models").glob("*.onnx") if (".int8." in file.name) == (self.precision == "int8")]
        runtime = Path(os.environ.get("ORT_DYLIB_PATH", ROOT / ".cache/onnxruntime/libonnxruntime.so"))
        with tempfile.TemporaryDirectory() as folder:
            program = Path(folder, "program")
            subprocess.run(["strip", "-o", program, self.options.program], check=True)
            linked = libraries(self.options.program) | libraries(runtime)
            return sum(file.stat().st_size for file in (program, runtime, ROOT / "models/manifest.toml", *models, *linked))


class Tesseract:
    name = "Tesseract"

    def __init__(self, options):
        self.options = options
        self.program = Path(shutil.which("tesseract") or sys.exit("tesseract is missing: scripts/setup.sh bench"))

    def command(self, page):
        return [self.program, page.picture, "stdout", "-l", "vie"]

    def text(self, output):
        return output

    def warm(self, pages):
        """From when it names the first page of a list until it ends."""
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as listed:
            listed.write("".join(f"{page.picture}\n" for page in pages))
            listed.flush()
            command = [self.program, listed.name, "stdout", "-l", "vie"]
            environment = limited(self.options.threads)
            with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment) as child:
                while not child.stderr.readline().startswith(b"Page "):
                    if child.poll() is not None:
                        sys.exit("tesseract does not say when it begins a page")
                begun = time.monotonic()
                child.stderr.read()
        if child.returncode:
            sys.exit("tesseract failed with a list of pages")
        return time.monotonic() - begun, len(pages)

    def own(self):
        """Its own files' bytes: without what others' libraries need in turn."""
        linked = {file for file in libraries(self.program) if file.name.startswith(("libtesseract", "liblept"))}
        return sum(file.stat().st_size for file in (self.program, TESSDATA / "vie.traineddata", *linked))

    def size(self):
        files = (self.program, TESSDATA / "vie.traineddata", *libraries(self.program))
        return sum(file.stat().st_size for file in files)


class RapidOcr:
    name = "RapidOCR"

    def __init__(self, options):
        self.options = options
        self.program = [options.python, ROOT / "scripts/bench_rapidocr.py"]
        self.about = json.loads(printed(*self.program, "--about"))

    def _command(self, pages):
        return [*self.program, str(self.options.threads), *(page.picture for page in pages)]

    def command(self, page):
        return self._command([page])

    def text(self, output):
        return json.loads(output)["text"]

    def warm(self, pages):
        output, _, _ = measured(self._command(pages), self.options.threads)
        return sum(json.loads(line)["seconds"] for line in output.splitlines()), len(pages)

    def size(self):
        return self.about["bytes"]


class Figures:
    """What was measured of one engine on one kind of document, or on several."""

    def __init__(self, parts=()):
        self.seconds = [took for part in parts for took in part.seconds]  # of each page in a process of its own
        self.memory = max((part.memory for part in parts), default=0)
        self.held = [sum(counts) for counts in zip(*(part.held for part in parts))] or [0, 0, 0]
        self.warm = [sum(counts) for counts in zip(*(part.warm for part in parts))] or [0, 0]

    def add(self, seconds, memory):
        self.seconds.append(seconds)
        self.memory = max(self.memory, memory)

    def count(self, held):
        self.held = [sum(counts) for counts in zip(self.held, held)]


def documents(folder, most):
    """Truths with their PDFs by kind, at most so many of each kind."""
    found = collections.defaultdict(list)
    for path in sorted(folder.glob("*.json")):
        truth, document = json.loads(path.read_text(encoding="utf-8")), path.with_suffix(".pdf")
        if "errorCode" not in truth and document.exists() and len(found[truth["kind"]]) < most:
            found[truth["kind"]].append((truth, document))
    return dict(sorted(found.items()))


def render(kind, document, folder):
    subprocess.run(["pdftoppm", "-r", str(DPI), "-png", document, folder / document.stem], check=True)
    return [Page(kind, document, picture) for picture in sorted(folder.glob(f"{document.stem}-*.png"))]


def compare(engines, kinds, folder, threads):
    """(engine, kind) -> figures, and engine -> milliseconds of loading."""
    figures, loading = collections.defaultdict(Figures), collections.defaultdict(list)
    for kind, pairs in kinds.items():
        every = []
        for truth, document in pairs:
            pages = render(kind, document, folder)
            every += pages
            texts = collections.defaultdict(str)
            for page in pages:
                for engine in engines:
                    output, seconds, memory = measured(engine.command(page), threads)
                    texts[engine.name] += engine.text(output) + "\n"
                    figures[engine.name, kind].add(seconds, memory)
            for engine in engines:
                figures[engine.name, kind].count(share_held(truth, texts[engine.name]))
                if isinstance(engine, Kiosk):
                    loading[engine.name].append(engine.loading(pages[0]))
            print(f"{document.name}: {len(pages)} pages", file=sys.stderr)
        for engine in engines:
            figures[engine.name, kind].warm = engine.warm(every)
        print(f"{kind}: {len(every)} pages in one process", file=sys.stderr)
        for page in every:
            page.picture.unlink()
    return figures, loading


def floor(options, kinds):
    """What bench_floor.py found."""
    pairs = [document for pairs in kinds.values() for _, document in pairs]
    models, threads = ROOT / "models", str(options.threads)
    command = [options.python, ROOT / "scripts/bench_floor.py", "--models", models, "--threads", threads]
    return json.loads(printed(*command, "--program", options.program, *pairs))


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def table(head, rows, labels=1):
    """Markdown; the first columns are labels, the others numbers."""
    lines = [head, ["---"] * labels + ["---:"] * (len(head) - labels), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def share(part, whole):
    return f"{100 * part / whole:.1f} %" if whole else "-"


def comparison(engines, kinds, figures, exact):
    """Rows of COLUMNS, those over all kinds first."""
    sizes = {engine.name: engine.size() for engine in engines}
    rows = []
    for kind, merged in [("all", list(kinds)), *((kind, [kind]) for kind in kinds)]:
        found = {engine.name: Figures([figures[engine.name, part] for part in merged]) for engine in engines}
        for name, of in found.items():
            median, (held, alike, values), (warm, pages) = statistics.median(of.seconds), of.held, of.warm
            row = [kind, name, len(of.seconds), f"{median:.2f}", f"{percentile(of.seconds, 0.95):.2f}"]
            row += [f"{statistics.median(found['Tesseract'].seconds) / median:.1f}", f"{warm / pages:.2f}"]
            row += [f"{of.memory / 2**20:.0f}", f"{sizes[name] / 1e6:.0f}", share(held, values), share(alike, values)]
            row += [f"{exact[name][kind]} %" if name in exact else "-"]
            rows.append(row)
    return rows


def main_rows(rows):
    """Those over all kinds, for README.md."""
    shown = [COLUMNS.index(column) for column in COLUMNS if column not in ("kind", "pages")]
    return table([COLUMNS[at] for at in shown], [[row[at] for at in shown] for row in rows if row[0] == "all"])


def operations(kiosks, found):
    """The models' operations, what they take at this machine's rates, and what they took."""
    counted = found["operations"]
    giga = [counted["detector"] / 1e9, counted["recogniser"] / 1e9]
    rows = [["multiplications of a page, G", *(f"{count:.2f}" for count in (*giga, sum(giga)))]]
    for kiosk in kiosks:
        best = max(found["rates"][kiosk.precision].values()) / 1e9
        least = [1000 * count / best for count in giga]
        took = [statistics.mean(column) for column in zip(*kiosk.models_ms)]
        least, took = [*least, sum(least)], [*took, sum(took)]
        rows.append([f"{kiosk.precision}: floor at {best:.0f} G/s, ms", *(f"{ms:.1f}" for ms in least)])
        rows.append([f"{kiosk.precision}: measured, ms", *(f"{ms:.1f}" for ms in took)])
        rows.append([f"{kiosk.precision}: measured / floor", *(f"{ms / bound:.1f}" for ms, bound in zip(took, least))])
    return table(["", "detector", "recogniser", "both"], rows)


def processor():
    """Its name, and what tells virtual ones apart."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    known = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    name = known.get("model name", platform.machine())
    return f"{name} (family {known['cpu family']}, model {known['model']})" if "cpu family" in known else name


def system():
    return platform.freedesktop_os_release()["PRETTY_NAME"]


def rates_of(found):
    per = [
        f"{precision} {' and '.join(f'{rate / 1e9:.0f} ({shape})' for shape, rate in shapes.items())}"
        for precision, shapes in found["rates"].items()
    ]
    return "; ".join(per)


def loads_of(loading):
    each = [f"{name} {statistics.median(took):.0f} ms (median), {max(took)} ms at most" for name, took in loading.items()]
    return "; ".join(each)


def pages_in_one_process(options):
    return QUICK if options.documents else MANY


def report(options, engines, kinds, rows, loading, memory, found, load_average):
    """docs/benchmark.md."""
    kiosks = [engine for engine in engines if isinstance(engine, Kiosk)]
    tesseract, rapid = (next(engine for engine in engines if isinstance(engine, kind)) for kind in (Tesseract, RapidOcr))
    counted = found["operations"]
    manifest = tomllib.loads((ROOT / "models/manifest.toml").read_text(encoding="utf-8"))
    return REPORT.format(
        date=date.today().isoformat(),
        processor=processor(),
        cores=os.cpu_count(),
        system=system(),
        load=load_average,
        threads=options.threads,
        kiosk=printed(options.program, "--version").strip(),
        models=manifest["model"][0]["version"],
        onnxruntime=found["onnxruntime"],
        tesseract=printed(tesseract.program, "--version").split()[1],
        rapidocr=rapid.about["version"],
        python=platform.python_version(),
        documents=", ".join(f"{len(pairs)} {kind}" for kind, pairs in kinds.items()),
        source="the project's sample reports" if options.folder.name == "samples" else "`tests/data/reports`",
        dpi=DPI,
        comparison=table(COLUMNS, rows, 2),
        loading=loads_of(loading),
        few=FEW,
        many=pages_in_one_process(options),
        memory="; ".join(f"{name} {first:.0f}, {last:.0f}, {most:.0f} MiB" for name, (first, last, most) in memory.items()),
        own=tesseract.own() / 1e6,
        packages=", ".join(rapid.about["packages"]),
        operations=operations(kiosks, found),
        lines=counted["lines"],
        width=counted["width"],
        padded=counted["padded"],
        padding=100 * (counted["padded"] / counted["width"] - 1),
        rates=rates_of(found),
    )


REPORT = """\
# Benchmark

Written on {date} by `make bench`; do not edit by hand.

- Machine: {processor}, {cores} cores, {system}; {threads} threads for each engine; load average before
  the run {load:.2f}.
- Engines: {kiosk} with its models {models} and ONNX Runtime {onnxruntime}; Tesseract {tesseract} with Debian's `vie`;
  RapidOCR {rapidocr} with the models and settings of its wheel, the same ONNX Runtime, Python {python}.
- Documents: {source} ({documents}), drawn at {dpi} dpi as PNG; the digital ones, too.

{comparison}

- **s/page, median and p95**: each page in a process of its own, start and loading included. RapidOCR's is a Python process,
  which is not how one would use it; *s/page in one process* is fairer to it.
- **s/page in one process**: the mean without start and loading, one page after the other. cic-kiosk's and RapidOCR's by their
  own clocks, Tesseract's from when it names the first page of a list until it ends.
- **peak MiB**: resident memory of those processes, the most of any page.
- **MB on disk**: program, models and every library that is loaded, but the C and C++ runtimes and Python. cic-kiosk: the
  stripped program, ONNX Runtime's library, models and manifest. Tesseract: the program, `vie.traineddata` and all libraries
  that it is linked to; {own:.1f} MB of that are its own, Leptonica included. RapidOCR, without the system's libraries that
  OpenCV loads:
  {packages}.
- **values in the text**: share of the true values of which all words stand in the text that the engine gives for the document.
  RapidOCR's models know Chinese and Latin letters without Vietnam's marks, and run words together; the next column
  forgives all engines that.
- **values right in the JSON**: to the letter, by `cic-kiosk eval` on the PDF documents themselves, of which it reads the
  digital ones by their own text; the others make no JSON.

Loading the models takes {loading}.

One process that reads {many} pages of these documents, in an order by chance, holds so much after the first {few}, after the last
{few}, and at most: {memory}.

## Operations and floor
{operations}

- **Multiplications**: counted in the .onnx files, for the average page: the detector at its input's size, the recogniser over
  {lines:.0f} lines of {width:.0f} px, padded to {padded:.0f} px ({padding:.0f} % more). The lines are those that the
  detector finds, put together more simply than the engine does: an estimate.
- **Floor**: what they take at the best rate that ONNX Runtime reaches here with as many threads, in G/s:
  {rates}.
- **Measured**: the stages that hold the models, pages read one after the other in one process; scaling the page, finding
  and cutting out lines and decoding characters are part of them.
"""


def main():
    samples = (ROOT / "../shared/samples").resolve()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", type=Path, default=ROOT / "target/release/cic-kiosk", help="cic-kiosk")
    parser.add_argument("--python", type=Path, default=ROOT / ".cache/bench/bin/python", help="with RapidOCR and onnx")
    parser.add_argument("--folder", type=Path, default=samples if samples.exists() else ROOT / "tests/data/reports")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--documents", type=int, help="documents of each kind, at most; the result is only printed then")
    options = parser.parse_args()
    # Where the program looks for ONNX Runtime when it is not at home; as in the Makefile.
    os.environ.setdefault("ORT_DYLIB_PATH", str(ROOT / ".cache/onnxruntime/libonnxruntime.so"))

    load_average = os.getloadavg()[0]
    kinds = documents(options.folder, options.documents or sys.maxsize)
    if not kinds:
        sys.exit(f"{options.folder} holds no documents with truths")
    kiosks = [Kiosk(options, precision) for precision in ("int8", "fp32")]
    engines = [*kiosks, Tesseract(options), RapidOcr(options)]
    found = floor(options, kinds)
    pairs = [pair for of_kind in kinds.values() for pair in of_kind]
    exact = {kiosk.name: kiosk.exact(pairs) for kiosk in kiosks}
    with tempfile.TemporaryDirectory() as folder:
        figures, loading = compare(engines, kinds, Path(folder), options.threads)
    memory = {kiosk.name: kiosk.memory(pairs, pages_in_one_process(options)) for kiosk in kiosks}
    rows = comparison(engines, kinds, figures, exact)
    written = report(options, engines, kinds, rows, loading, memory, found, load_average)
    print(written)
    if options.documents is None:
        (ROOT / "docs/benchmark.md").write_text(written, encoding="utf-8")
        readme = ROOT / "README.md"
        between = f"(?<={re.escape(BEGIN)}\n).*?(?={re.escape(END)})"
        text = re.sub(between, lambda _: f"{main_rows(rows)}\n", readme.read_text(encoding="utf-8"), flags=re.DOTALL)
        readme.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
