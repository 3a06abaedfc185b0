#!/usr/bin/env python3
"""A document scanner that speaks eSCL, for tests: strict, and with faults to order.

It answers as AirSane does (seen with its version of 2024, in front of SANE's backend `test`): the
same XML, `Location` without a host, pages in chunks, one connection for each request. Where AirSane
lets anything pass it is stricter, as scanners are: settings that are unknown, out of place or not
offered are refused with 400, another content type with 415, a second job with 503 while one runs.

    escl_server.py --feeder DIRECTORY --glass FILE [--tls CERTIFICATE KEY] [--port PORT]

The pages are the files of the directory, by name. The port is printed once it is listened at.
`POST /control` with a JSON object sets members of `Orders`; `GET /control` lists the requests that
came, each as `METHOD path status`.
"""

import argparse
import dataclasses
import json
import pathlib
import ssl
import sys
import threading
import time
import uuid
import xml.etree.ElementTree as ElementTree
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SCAN = "http://schemas.hp.com/imaging/escl/2011/05/03"
PWG = "http://www.pwg.org/schemas/2010/12/sm"
NAMES = f'xmlns:pwg="{PWG}" xmlns:scan="{SCAN}"'

VERSION = "2.63"
WIDTH, HEIGHT = 2550, 4200
RESOLUTIONS = (75, 150, 300, 600)
COLORS = ("Grayscale8", "RGB24")
FORMATS = ("application/pdf", "image/jpeg")

# The members of `ScanSettings`, in the only order that is taken.
SETTINGS = (
    "Version",
    "ScanRegions",
    "InputSource",
    "XResolution",
    "YResolution",
    "ColorMode",
    "DocumentFormat",
    "DocumentFormatExt",
    "Duplex",
)
REGION = ("ContentRegionUnits", "XOffset", "YOffset", "Width", "Height")
IN_PWG = {"Version", "ScanRegions", "ScanRegion", "InputSource", "DocumentFormat", *REGION}


@dataclasses.dataclass
class Orders:
    """What the scanner does next. Pages are counted from 1, in each job anew."""

    loaded: int = 0  # sheets that lie in the feeder
    first: int = 0  # of the feeder's files, counted from 0: the one that a job begins with
    lies: int | None = None  # of the same: the one that lies on the glass, instead of its own
    state: str = "Idle"  # pwg:State, while no job runs
    adf: str = ""  # scan:AdfState, instead of what the sensor says
    airsane: bool = False  # no sensor: "loaded" always, and "empty" once after it ran empty
    page_seconds: float = 0.0  # time for a page
    busy: int = 0  # requests for a job that get 503
    retry_after: str = ""  # what comes with it
    wait: int = 0  # requests for a page that get 503
    early: int = 0  # requests for the first page that get 404, while the job goes on
    jam: int = 0  # the page that jams
    hatch: int = 0  # the page at which the cover is opened
    abort: int = 0  # the page at which the job is aborted, for no reason that the feeder has
    blank: int = 0  # the page that jams while it is read: AirSane's answer is then 200 and empty
    cut: int = 0  # the page in the middle of which the connection ends
    torn: int = 0  # the page of which the end lacks, although the answer has one
    hang: int = 0  # the page that never comes
    error: int = 0  # the page that gets 500
    garbage: str = ""  # the answer that is none: ScannerStatus or ScannerCapabilities
    no_document: int = 0  # the page that is no picture
    location: str = "path"  # path, url, foreign, none


class Refused(Exception):
    """Settings that are not taken."""


class Job:
    def __init__(self, source, duplex):
        self.id = str(uuid.uuid4())
        self.source, self.duplex = source, duplex
        self.given, self.state, self.reason = 0, "Pending", "JobQueued"

    def runs(self):
        return self.state in ("Pending", "Processing")

    def end(self, state, reason):
        self.state, self.reason = state, reason


class Scanner:
    def __init__(self, feeder, glass):
        self.feeder = [path.read_bytes() for path in sorted(pathlib.Path(feeder).iterdir())]
        self.glass = pathlib.Path(glass).read_bytes()
        self.lock = threading.Lock()
        self.orders, self.jobs, self.requests, self.told = Orders(), {}, [], ""

    def running(self):
        return next((job for job in self.jobs.values() if job.runs()), None)

    def adf(self):
        if self.orders.adf:
            return self.orders.adf
        if self.orders.airsane:
            told, self.told = self.told or "ScannerAdfLoaded", ""
            return told
        return "ScannerAdfLoaded" if self.orders.loaded else "ScannerAdfEmpty"

    def status(self):
        jobs = "".join(
            f"<scan:JobInfo>\r\n<pwg:JobUri>/eSCL/ScanJobs/{job.id}</pwg:JobUri>\r\n"
            f"<pwg:JobUuid>{job.id}</pwg:JobUuid>\r\n<scan:Age>0</scan:Age>\r\n"
            f"<pwg:JobState>{job.state}</pwg:JobState>\r\n"
            f"<pwg:ImagesCompleted>{job.given}</pwg:ImagesCompleted>\r\n<pwg:JobStateReasons>\r\n"
            f"<pwg:JobStateReason>{job.reason}</pwg:JobStateReason>\r\n"
            "</pwg:JobStateReasons>\r\n</scan:JobInfo>\r\n"
            for job in self.jobs.values()
        )
        state = "Processing" if self.running() else self.orders.state
        return (
            f"<?xml version='1.0' encoding='UTF-8'?>\r\n<scan:ScannerStatus {NAMES}>\r\n"
            f"<pwg:Version>{VERSION}</pwg:Version>\r\n<pwg:State>{state}</pwg:State>\r\n"
            f"<scan:AdfState>{self.adf()}</scan:AdfState>\r\n"
            f"<scan:Jobs>\r\n{jobs}</scan:Jobs>\r\n</scan:ScannerStatus>\r\n"
        )

    def page(self, job):
        """Status, body, and how much of it is sent; takes the page's sheet."""
        orders, number = self.orders, job.given + 1
        if orders.wait:
            orders.wait -= 1
            return 503, b"", 0
        if number == 1 and orders.early:
            orders.early -= 1
            return 404, b"", 0
        for fault, adf in (("jam", "ScannerAdfJam"), ("hatch", "ScannerAdfHatchOpen")):
            if getattr(orders, fault) == number:
                job.end("Aborted", "ResourcesAreNotReady")
                orders.adf = adf
                return 409, b"", 0
        if orders.abort == number:
            job.end("Aborted", "ErrorsDetected")
            return 404, b"", 0
        if orders.blank == number:
            job.end("Aborted", "ResourcesAreNotReady")
            return 200, b"", None
        if orders.error == number:
            job.end("Aborted", "ErrorsDetected")
            return 500, b"", 0
        if job.source == "Platen":
            if job.given:
                return 404, b"", 0
            job.end("Completed", "JobCompletedSuccessfully")
            page = self.glass if orders.lies is None else self.feeder[orders.lies]
        else:
            sides = 2 if job.duplex else 1
            if not orders.loaded:
                whole = "Completed" if job.given else "Aborted"
                job.end(whole, "JobCompletedSuccessfully" if job.given else "ResourcesAreNotReady")
                self.told = "ScannerAdfEmpty"
                return 409, b"", 0
            job.state, job.reason = "Processing", "JobScanning"
            orders.loaded -= 1 if number % sides == 0 else 0
            page = self.feeder[(orders.first + job.given) % len(self.feeder)]
        job.given = number
        if orders.no_document == number:
            return 200, b"<html>no picture</html>", None
        if orders.torn == number:
            return 200, page[: len(page) // 2], None
        return 200, page, len(page) // 2 if orders.cut == number else None

    def capabilities(self):
        def listed(name, values):
            return "".join(f"<{name}>{value}</{name}>" for value in values)

        resolutions = "".join(
            f"<scan:DiscreteResolution><scan:XResolution>{dpi}</scan:XResolution>"
            f"<scan:YResolution>{dpi}</scan:YResolution></scan:DiscreteResolution>"
            for dpi in RESOLUTIONS
        )
        profile = (
            f"<scan:ColorModes>{listed('scan:ColorMode', COLORS)}</scan:ColorModes>"
            f"<scan:SupportedResolutions><scan:DiscreteResolutions>{resolutions}"
            "</scan:DiscreteResolutions></scan:SupportedResolutions>"
            f"<scan:DocumentFormats>{listed('pwg:DocumentFormat', FORMATS)}"
            f"{listed('scan:DocumentFormatExt', FORMATS)}</scan:DocumentFormats>"
        )

        def caps(name):
            return (
                f"<scan:{name}><scan:MinWidth>32</scan:MinWidth><scan:MaxWidth>{WIDTH}</scan:MaxWidth>"
                f"<scan:MinHeight>32</scan:MinHeight><scan:MaxHeight>{HEIGHT}</scan:MaxHeight>"
                "<scan:MaxScanRegions>1</scan:MaxScanRegions><scan:SettingProfiles>"
                f"<scan:SettingProfile>{profile}</scan:SettingProfile></scan:SettingProfiles></scan:{name}>"
            )

        return (
            f"<?xml version='1.0' encoding='UTF-8'?>\r\n<scan:ScannerCapabilities {NAMES}>\r\n"
            f"<pwg:Version>{VERSION}</pwg:Version>\r\n"
            "<pwg:MakeAndModel>Strict Scanner</pwg:MakeAndModel>\r\n"
            "<scan:UUID>11111111-2222-3333-4444-555555555555</scan:UUID>\r\n"
            f"<scan:Platen>{caps('PlatenInputCaps')}</scan:Platen>\r\n"
            f"<scan:Adf>{caps('AdfSimplexInputCaps')}{caps('AdfDuplexInputCaps')}"
            "<scan:FeederCapacity>50</scan:FeederCapacity></scan:Adf>\r\n"
            "</scan:ScannerCapabilities>\r\n"
        )


def take_settings(body):
    """The job that these settings ask for; anything that is not offered is refused."""
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError as error:
        raise Refused(f"no XML: {error}") from error
    if root.tag != f"{{{SCAN}}}ScanSettings":
        raise Refused(f"root {root.tag}")

    def members(node, order):
        values, last = {}, -1
        for child in node:
            name = child.tag.partition("}")[2]
            space = PWG if name in IN_PWG else SCAN
            if name not in order or child.tag != f"{{{space}}}{name}":
                raise Refused(f"unknown {child.tag}")
            if order.index(name) <= last:
                raise Refused(f"{name} out of place")
            last = order.index(name)
            values[name] = child
        return values

    found = members(root, SETTINGS)
    region = members(members(found["ScanRegions"], ("ScanRegion",))["ScanRegion"], REGION)
    told = {name: node.text for name, node in found.items() if name != "ScanRegions"}
    size = {name: node.text for name, node in region.items()}
    x, y, width, height = (int(size[name]) for name in REGION[1:])
    source = told["InputSource"]
    right = (
        told["Version"] == VERSION
        and size["ContentRegionUnits"] == "escl:ThreeHundredthsOfInches"
        and (x, y) == (0, 0)
        and 32 <= width <= WIDTH
        and 32 <= height <= HEIGHT
        and source in ("Platen", "Feeder")
        and int(told["XResolution"]) in RESOLUTIONS
        and told["XResolution"] == told["YResolution"]
        and told["ColorMode"] in COLORS
        and told["DocumentFormat"] in FORMATS
        and told.get("DocumentFormatExt", told["DocumentFormat"]) == told["DocumentFormat"]
        and told.get("Duplex", "false") in ("true", "false")
        and (source == "Feeder" or "Duplex" not in told)
    )
    if not right:
        raise Refused(f"not offered: {told} {size}")
    return Job(source, told.get("Duplex") == "true")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def scanner(self):
        return self.server.scanner

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", headers=(), kind="text/xml", sent=None):
        if self.path != "/control":
            self.scanner.requests.append(f"{self.command} {self.path} {status}")
        self.close_connection = True
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Connection", "close")
        if not body and status != 200:
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for at in range(0, len(body) if sent is None else sent, 8192):
            chunk = body[at : min(at + 8192, len(body))]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        if sent is None:
            self.wfile.write(b"0\r\n\r\n")

    def do_GET(self):
        scanner, orders = self.scanner, self.scanner.orders
        name = self.path.removeprefix("/eSCL/")
        if self.path == "/control":
            self.answer(200, json.dumps(scanner.requests).encode())
        elif orders.garbage and name == orders.garbage:
            self.answer(200, b"<scan:" + bytes(range(256)) * 64)
        elif name == "ScannerCapabilities":
            self.answer(200, scanner.capabilities().encode())
        elif name == "ScannerStatus":
            with scanner.lock:
                status = scanner.status()
            self.answer(200, status.encode())
        elif name.startswith("ScanJobs/") and name.endswith("/NextDocument"):
            self.next_document(name.split("/")[1])
        else:
            self.answer(404)

    def next_document(self, name):
        scanner = self.scanner
        job = scanner.jobs.get(name)
        if job is None or not job.runs():
            self.answer(404)
            return
        if scanner.orders.hang == job.given + 1:
            scanner.requests.append(f"GET {self.path} hangs")
            time.sleep(3600)
        # A cancelled job gives up in the middle of a page. That the feeder is empty its sensor knows at once.
        is_empty = job.source == "Feeder" and not scanner.orders.loaded and not scanner.orders.airsane
        until = time.monotonic() + (0.0 if is_empty else scanner.orders.page_seconds)
        while job.runs() and time.monotonic() < until:
            time.sleep(0.01)
        with scanner.lock:
            status, page, sent = scanner.page(job) if job.runs() else (404, b"", None)
        self.answer(status, page, kind="image/jpeg", sent=sent, headers=self.retry(status))

    def retry(self, status):
        asked = self.scanner.orders.retry_after
        return [("Retry-After", asked)] if status == 503 and asked else []

    def do_POST(self):
        scanner = self.scanner
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/control":
            with scanner.lock:
                for name, value in json.loads(body).items():
                    assert hasattr(scanner.orders, name), name
                    setattr(scanner.orders, name, value)
            self.answer(200)
            return
        if self.path != "/eSCL/ScanJobs":
            self.answer(404)
            return
        if self.headers["Content-Type"].partition(";")[0] not in ("text/xml", "application/xml"):
            self.answer(415)
            return
        with scanner.lock:
            status, headers = self.begin(body)
        self.answer(status, headers=headers)

    def begin(self, body):
        scanner, orders = self.scanner, self.scanner.orders
        if orders.busy or scanner.running() or orders.state != "Idle":
            orders.busy = max(orders.busy - 1, 0)
            return 503, self.retry(503)
        try:
            job = take_settings(body)
        except (Refused, KeyError, ValueError) as error:
            print(f"refused: {error!r}", file=sys.stderr, flush=True)
            return 400, []
        if job.source == "Feeder" and not orders.loaded and not orders.airsane:
            return 409, []
        scanner.jobs[job.id] = job
        path = f"/eSCL/ScanJobs/{job.id}"
        location = {
            "path": path,
            "url": f"http://{self.headers['Host']}{path}",
            "foreign": f"http://scanner.invalid:1{path}",
            "none": None,
        }[orders.location]
        return 201, [("Location", location)] if location else []

    def do_DELETE(self):
        scanner = self.scanner
        with scanner.lock:
            job = scanner.jobs.get(self.path.removeprefix("/eSCL/ScanJobs/"))
            if job and job.runs():
                job.end("Canceled", "JobCanceledByUser")
        self.answer(200 if job else 404)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        """A client that is gone is nothing to be told of."""


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--feeder", required=True)
    options.add_argument("--glass", required=True)
    options.add_argument("--port", type=int, default=0)
    options.add_argument("--tls", nargs=2, metavar=("CERTIFICATE", "KEY"))
    options = options.parse_args()
    server = Server(("127.0.0.1", options.port), Handler)
    server.scanner = Scanner(options.feeder, options.glass)
    if options.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*options.tls)
        # The handshake belongs to the request's thread: one that fails must not end the server.
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
