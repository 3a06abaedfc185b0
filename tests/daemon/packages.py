"""Packages of models, made and signed by the program itself, and bad ones; and a server that they are fetched from."""

import hashlib
import http.server
import json
import re
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import trustme

from kiosk import PATIENCE, PROGRAM, ROOT

GOLDEN = ROOT / "models/golden"
ARCHITECTURE = subprocess.run(["uname", "-m"], capture_output=True, text=True, check=True).stdout.strip()


def run(*arguments: object) -> str:
    command = [PROGRAM, "model", *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert result.returncode == 0, result
    return result.stdout


def fields(content: bytes, begin: int, end: int) -> Iterator[tuple[int, int, int]]:
    """The fields of a protobuf message that have a length: number, begin and end."""

    def number() -> int:
        nonlocal begin
        value = shift = 0
        while True:
            byte = content[begin]
            begin += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while begin < end:
        tag = number()
        match tag & 7:
            case 0:
                number()
            case 1:
                begin += 8
            case 5:
                begin += 4
            case _:
                length = number()
                yield tag >> 3, begin, begin + length
                begin += length


def weights(model: bytes) -> list[tuple[int, int]]:
    """Where the numbers of an ONNX file's tensors lie: ModelProto.graph.initializer.raw_data."""
    found = []
    for graph, *span in fields(model, 0, len(model)):
        if graph == 7:
            for tensor, *inner in fields(model, *span):
                if tensor == 5:
                    found += [(begin, end) for field, begin, end in fields(model, *inner) if field == 9]
    return found


def wrong_truth(folder: Path) -> Path:
    """Golden pages that say something else than their truth."""
    golden = folder / "golden"
    shutil.copytree(GOLDEN, golden)
    for path in golden.glob("*.json"):
        truth = json.loads(path.read_text(encoding="utf-8"))
        truth["info"]["cic_code"] = "0000000000"
        path.write_text(json.dumps(truth), encoding="utf-8")
    return golden


class Package(NamedTuple):
    """A signed package."""

    file: Path
    sha256: str
    bytes: int

    @property
    def topic(self) -> str:
        return f"cic/v1/_all/_all/package/{self.sha256}"

    def chunks(self) -> list[bytes]:
        content = self.file.read_bytes()
        return [content[at : at + (48 << 10)] for at in range(0, len(content), 48 << 10)]


class Office:
    """Has two keys, and makes packages."""

    def __init__(self, folder: Path):
        folder.mkdir()
        self.folder = folder
        self.password = folder / "password"
        self.password.write_text("correct horse\n", encoding="utf-8")
        self.keys = {name: self._key(name) for name in ("current", "next", "stranger")}

    def _key(self, name: str) -> str:
        return run("keygen", "--key", self.folder / name, "--password-file", self.password).strip()

    @property
    def trusted(self) -> list[str]:
        return [self.keys["current"], self.keys["next"]]

    def make(self, version: str, key: str = "current", models: Path = ROOT / "models", **options: object) -> Package:
        """A package of these models; others options than the usual ones are `pack`'s."""
        options = {"golden": GOLDEN, "device": ARCHITECTURE, "slowdown": 20, **options}
        said = [word for name, value in options.items() for word in (f"--{name}", value)]
        packed = self.folder / f"{version}.tar"
        run("pack", "--models", models, "--set-version", version, "--out", packed, *said)
        return self.sign(packed, key)

    def sign(self, packed: Path, key: str = "current") -> Package:
        signed = packed.with_suffix(f".{key}.cicmodel")
        secret = ["--key", self.folder / key, "--password-file", self.password]
        said = json.loads(run("sign", packed, *secret, "--comment", "a test", "--out", signed))
        assert said["sha256"] == hashlib.sha256(signed.read_bytes()).hexdigest()
        return Package(signed, said["sha256"], said["bytes"])

    def changed_models(self, name: str, change) -> Path:
        """The models with other files, and a manifest that says so: `change` makes each file's new content."""
        folder = self.folder / name
        shutil.copytree(ROOT / "models", folder, ignore=shutil.ignore_patterns("training", "figures", "golden"))
        manifest = (folder / "manifest.toml").read_text(encoding="utf-8")
        for file in folder.glob("*.onnx"):
            before = file.read_bytes()
            file.write_bytes(after := change(file.name, before))
            digests = [hashlib.sha256(content).hexdigest() for content in (before, after)]
            manifest = manifest.replace(*digests)
        (folder / "manifest.toml").write_text(manifest, encoding="utf-8")
        return folder


class Shop:
    """An HTTPS server that gives files, and parts of them; it hangs up after so many bytes where it is told to."""

    def __init__(self, folder: Path, authority: trustme.CA):
        self.folder, self.asked, self.gives = folder, [], None
        self.authorities = folder / "authority.pem"
        authority.cert_pem.write_to_path(str(self.authorities))
        shop = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                content = (shop.folder / self.path.rsplit("/", 1)[-1]).read_bytes()
                begin = int(re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "bytes=0-"))[1])
                shop.asked.append(begin)
                self.send_response(206 if begin else 200)
                if begin:
                    self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
                self.send_header("Content-Length", str(len(content) - begin))
                end = len(content) if shop.gives is None else begin + shop.gives
                # Whose power fails, hangs up.
                with suppress(OSError):
                    self.end_headers()
                    self.wfile.write(content[begin:end])

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://localhost:{self.server.server_port}/models/"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
