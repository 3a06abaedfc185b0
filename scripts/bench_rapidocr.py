"""RapidOCR as bench.py runs it: one JSON line for each page, with its text and the seconds that it took.

    bench_rapidocr.py THREADS PAGE...
    bench_rapidocr.py --about

Models and settings are those of its wheel. `--about` prints its version, and the bytes of everything that it loads:
the package and all that it depends on, without Python.
"""

import json
import sys
import time
from importlib import metadata


def packages(name, found):
    """The package and those that it needs here, by name."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    name = canonicalize_name(name)
    if name not in found:
        found[name] = metadata.distribution(name)
        for requirement in map(Requirement, found[name].requires or ()):
            if not requirement.marker or requirement.marker.evaluate({"extra": ""}):
                packages(requirement.name, found)
    return found


def about():
    found = packages("rapidocr-onnxruntime", {})
    files = {file.locate().resolve() for package in found.values() for file in package.files or ()}
    # What Python compiles beside them is not counted.
    size = sum(file.stat().st_size for file in files if file.suffix != ".pyc" and file.is_file())
    print(json.dumps({"version": found["rapidocr-onnxruntime"].version, "bytes": size, "packages": sorted(found)}))


def read(threads, pages):
    import cv2
    from rapidocr_onnxruntime import RapidOCR

    cv2.setNumThreads(threads)
    engine = RapidOCR(intra_op_num_threads=threads)
    for page in pages:
        begun = time.perf_counter()
        lines, _ = engine(page)
        seconds = time.perf_counter() - begun
        text = "\n".join(text for _, text, _ in lines or ())
        print(json.dumps({"page": page, "seconds": seconds, "text": text}))


if __name__ == "__main__":
    if sys.argv[1:] == ["--about"]:
        about()
    else:
        read(int(sys.argv[1]), sys.argv[2:])
