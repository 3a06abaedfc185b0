"""A server of documents on this machine, which misbehaves where it is asked to."""

import random
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import trustme

from kiosk import MARK, PATIENCE


class Held(NamedTuple):
    """A document that is not given out before it is released."""

    url: str
    asked: threading.Event
    released: threading.Event


class Files:
    """Documents by their names."""

    def __init__(self, origin: str):
        self.origin = origin
        self.places: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}
        self.asked_for: list[str] = []
        self.held: list[Held] = []

    def url(self, name: str) -> str:
        return f"{self.origin}/{MARK}/{name}"

    def put(self, name: str, content: bytes, kind: str = "application/octet-stream", says_its_size: bool = True) -> str:
        def give(handler: BaseHTTPRequestHandler):
            handler.send_response(200)
            handler.send_header("content-type", kind)
            if says_its_size:
                handler.send_header("content-length", str(len(content)))
            handler.end_headers()
            handler.wfile.write(content)

        self.places[name] = give
        return self.url(name)

    def redirect(self, name: str, target: str) -> str:
        def send_elsewhere(handler: BaseHTTPRequestHandler):
            handler.send_response(302)
            handler.send_header("location", target)
            handler.send_header("content-length", "0")
            handler.end_headers()

        self.places[name] = send_elsewhere
        return self.url(name)

    def hold(self, name: str, content: bytes) -> Held:
        held = Held(self.put(name, content), threading.Event(), threading.Event())
        give = self.places[name]

        def wait_and_give(handler: BaseHTTPRequestHandler):
            held.asked.set()
            held.released.wait(PATIENCE)
            give(handler)

        self.places[name] = wait_and_give
        self.held.append(held)
        return held


@contextmanager
def serve_files(host: str = "127.0.0.1", certificate: trustme.LeafCert | None = None):
    """Serves files while the context lasts, over TLS where there is a certificate."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path.removeprefix(f"/{MARK}/")
            files.asked_for.append(name)
            place = files.places.get(name, lambda handler: handler.send_error(404))
            try:
                place(self)
            except ConnectionError:
                # Who asked went away, as some are meant to.
                pass

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer((host, 0), Handler) as server:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            certificate.configure_cert(context)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        files = Files(f"{'https' if certificate else 'http'}://{host}:{server.server_port}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield files
        for held in files.held:
            held.released.set()
        server.shutdown()


def closed_port() -> int:
    """A port that nobody listens on, and that the system gives nobody who asks for any."""
    given = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(10_000, given)
        with socket.socket() as one, suppress(OSError):
            one.bind(("127.0.0.1", port))
            return port
