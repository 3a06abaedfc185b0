"""Papers to be scanned: small digital PDFs, no two of which say the same."""

import json
import subprocess
from pathlib import Path
from typing import NamedTuple

from kiosk import PATIENCE, PROGRAM

# What a command line holds, with room to spare.
AT_ONCE = 200


# What takes a second or more to read: wide pages, full of letters.
SLOW = {"pages": 40, "address": 2000}


class Paper(NamedTuple):
    """A report that is known by its CIC code, wherever it turns up."""

    number: int
    pages: int = 1
    # Bytes that no reader looks at, as a scan has.
    filling: int = 0
    # Characters of the address, up to 2000; the result is so much longer.
    address: int = 0

    @property
    def code(self) -> str:
        return str(9_473_000_000 + self.number)

    @property
    def identity(self) -> str:
        return f"001{self.number * 7919 % 1_000_000_000:09d}"

    @property
    def street(self) -> str:
        return f"So {5000 + self.number} Pham Van Dong, Ha Noi" + ", Viet Nam" * (self.address // 10)

    @property
    def values(self) -> set[str]:
        """What no log may hold."""
        return {self.code, self.identity, self.street}

    @property
    def content(self) -> bytes:
        lines = [
            "BAO CAO CHI TIET QUAN HE TIN DUNG",
            "1. THONG TIN CHUNG VE KHACH HANG",
            f"Ma so CIC: {self.code}",
            f"So CMND/CCCD: {self.identity}",
            f"Dia chi: {self.street}",
        ]
        return pdf([lines] * self.pages, bytes(self.filling))

    def put(self, folder: Path, name: str) -> Path:
        path = folder / name
        path.write_bytes(self.content)
        return path


def pdf(pages: list[list[str]], filling: bytes = b"") -> bytes:
    """A file with so many pages, each with its lines from top to bottom."""
    font = b"<< /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >> >> >>"
    kids = " ".join(f"{5 + 2 * index} 0 R" for index in range(len(pages))).encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Count %d /Kids [%s] >>" % (len(pages), kids),
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(filling), filling),
    ]
    for lines in pages:
        drawn = "".join(f"BT /F1 8 Tf 10 {186 - 14 * at} Td ({line}) Tj ET\n" for at, line in enumerate(lines)).encode()
        # Wide enough for the longest line, which would be cut off otherwise.
        box = b"[0 0 %d 200]" % (20 + 5 * max(map(len, lines)))
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(drawn), drawn))
        place = len(objects), font
        objects.append(b"<< /Type /Page /Parent 2 0 R /MediaBox %s /Contents %d 0 R /Resources %s >>" % (box, *place))
    file, table = b"%PDF-1.7\n", b"0000000000 65535 f \n"
    for number, body in enumerate(objects, 1):
        table += b"%010d 00000 n \n" % len(file)
        file += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    count = len(objects) + 1
    trailer = b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (count, len(file))
    return file + b"xref\n0 %d\n%s" % (count, table) + trailer


def code_of(answer: dict) -> str:
    """Which paper it is about."""
    [report] = answer["data"]["info"]
    return report["cic_code"]


def readings(papers: list[Paper], folder: Path) -> dict[str, dict]:
    """What `extract` says of each paper, by its code: the truth that a result must repeat."""
    folder.mkdir(exist_ok=True)
    answers = []
    for part in (papers[begin : begin + AT_ONCE] for begin in range(0, len(papers), AT_ONCE)):
        files = [paper.put(folder, f"{paper.number}.pdf") for paper in part]
        command = [PROGRAM, "extract", "--jsonl", *files]
        lines = subprocess.check_output(command, text=True, stderr=subprocess.DEVNULL, timeout=10 * PATIENCE)
        answers += map(json.loads, lines.splitlines())
        # A crash test has gigabytes of them.
        for file in files:
            file.unlink()
    found = {code_of(answer): answer["data"] for answer in answers}
    assert set(found) == {paper.code for paper in papers}, "extract cannot read the papers"
    return found
