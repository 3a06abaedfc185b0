"""What an operator relies on: figures, headers, certificates, and an orderly beginning and end."""

import http.client
import json
import re
import signal
import socket
import ssl
import subprocess
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
import trustme
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from contract import PATH
from documents import SCAN, blank, document
from kiosk import PATIENCE, ROOT, run, serve_command, until, wrong

PATHS = [
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/docs",
    "/docs/start.js",
    "/docs/files/swagger-ui.css",
    "/none",
    PATH,
]


def as_dict(response: requests.Response) -> tuple[int, dict]:
    return response.status_code, response.json()


# Health and figures.


def test_server_is_up_and_ready(server):
    assert as_dict(server.ask("GET", "/healthz")) == (200, {"status": "ok"})
    status, answer = as_dict(server.ask("GET", "/readyz"))
    assert (status, answer["status"]) == (200, "ready")


def test_server_without_its_keys_is_up_and_not_ready(start):
    server = start()
    # SQLite finds no database in it.
    for file in server.state.iterdir():
        file.write_bytes(b"no database" * 1000)
    assert until(lambda: server.ask("GET", "/readyz").status_code == 503)
    assert server.is_up()


def test_figures_are_openmetrics_with_a_help_for_each(server):
    response = server.ask("GET", "/metrics")
    assert response.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    families = list(text_string_to_metric_families(response.text))
    assert {"cic_answer_seconds", "cic_pages_read", "cic_requests_in_hand"} < {family.name for family in families}
    assert all(family.name.startswith("cic_") and family.documentation for family in families)


def test_figures_count_what_was_done(start):
    server = start()
    key = server.key("branch")
    server.by_file(key, SCAN.content)
    server.by_file(key, blank())
    server.by_base64(key, "*")
    server.by_file(wrong(key), b"")
    assert server.metric("cic_answers_total", code="0", format_type="file") == 1
    assert server.metric("cic_answers_total", code="1", format_type="file") == 1
    assert server.metric("cic_answers_total", code="3", format_type="unknown") == 1
    assert server.metric("cic_answers_total", code="4", format_type="unknown") == 1
    assert server.metric("cic_wrong_keys_total") == 1
    assert server.metric("cic_pages_read_total") == len(SCAN.pages) + 1
    assert server.metric("cic_answer_seconds_count") == 4
    assert server.metric("cic_answer_seconds_bucket", le="+Inf") == 4
    for stage in ("decode", "detect", "recognise", "report"):
        assert server.metric("cic_stage_seconds_count", stage=stage) >= 1, stage
    for gauge in ("cic_requests_in_hand", "cic_documents_at_work", "cic_turned_away_total", "cic_gone_total"):
        assert server.metric(gauge) == 0, gauge


# Headers.


@pytest.mark.parametrize("path", PATHS)
def test_answers_are_not_stored_framed_or_guessed_at(server, path):
    headers = server.ask("GET", path).headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize("path", PATHS)
def test_answers_do_not_tell_what_program_gives_them(server, path):
    response = server.ask("GET", path)
    assert not {"server", "x-powered-by", "via"} & set(response.headers)
    version = tomllib.loads((ROOT / "Cargo.toml").read_text(encoding="utf-8"))["package"]["version"]
    # Swagger UI is no work of ours.
    said = str(response.headers) + (response.text if "/docs/files" not in path else "")
    assert not re.search(rf"(?<![\d.]){re.escape(version)}(?![\d.])|axum|hyper|cic-kiosk", said)


# The command line and the configuration.


def test_plain_http_beyond_this_machine_must_be_asked_for(tmp_path):
    result = run(*serve_command(tmp_path / "state", listen="0.0.0.0:0"))
    assert (result.returncode, result.stdout) == (64, "")
    assert "unencrypted" in result.stderr and "plain" in result.stderr


def test_plain_http_beyond_this_machine_is_spoken_when_asked_for(start):
    assert start("--allow-plain-http", listen="0.0.0.0:0").is_up()


@pytest.mark.parametrize(
    "text, line, word",
    [
        ("[http]\nqeue = 3\n", 2, "qeue"),
        ("[http]\n\nqueue = 'many'\n", 3, "usize"),
        ("[reading]\nreview_below = 2.0\n", 2, "from 0 to 1"),
        ("[http\n", 1, "]"),
        ("[nobody]\n", 1, "nobody"),
    ],
)
def test_mistake_in_the_configuration_is_named_with_its_file_and_line(tmp_path, text, line, word):
    config = tmp_path / "kiosk.toml"
    config.write_text(text, encoding="utf-8")
    result = run(*serve_command(tmp_path / "state", "--config", config))
    assert result.returncode not in (0, None) and result.stdout == ""
    assert str(config) in result.stderr and f"line {line}" in result.stderr and word in result.stderr


def test_server_without_a_state_folder_says_how_to_name_one():
    result = run("serve")
    assert result.returncode == 64 and "--state" in result.stderr


# TLS.


@pytest.fixture
def certificate(tmp_path, authority):
    """The options for TLS, with a certificate of the bank's own authority."""
    put_certificate(authority, tmp_path)
    return ["--tls-certificate", tmp_path / "certificate.pem", "--tls-key", tmp_path / "key.pem"]


def put_certificate(authority: trustme.CA, folder: Path):
    """Writes a new certificate and key."""
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    for index, part in enumerate(issued.cert_chain_pems):
        part.write_to_path(folder / "certificate.pem", append=index > 0)


def served_certificate(server) -> str:
    host, port = server.address.removeprefix("https://").split(":")
    return ssl.get_server_certificate((host, int(port)), timeout=PATIENCE)


def log_says(server, words: str) -> bool:
    return words in server.log.read_text(encoding="utf-8")


def test_clients_that_trust_the_banks_authority_are_served_over_tls(start, certificate, authority, tmp_path):
    server = start(*certificate, listen="0.0.0.0:0")
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    address = server.address.replace("0.0.0.0", "127.0.0.1")
    response = requests.get(address + "/healthz", verify=str(tmp_path / "authority.pem"), timeout=PATIENCE)
    assert address.startswith("https://") and response.status_code == 200
    assert response.headers["strict-transport-security"].startswith("max-age=")
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(address + "/healthz", timeout=PATIENCE)


def test_curl_that_offers_http_2_over_tls_is_served_in_http_1_1(start, certificate, authority, tmp_path, files):
    server = start(*certificate)
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    options = ["--silent", "--show-error", "--cacert", tmp_path / "authority.pem"]
    options += ["--user", ":".join(server.key("branch")), "--write-out", "\\n%{http_version}\\n", server.address + PATH]
    by_file = ["--form", f"img=@{SCAN.path}"]
    by_url = ["--get", "--data-urlencode", f"img={files.put('second.pdf', SCAN.content)}"]
    command = ["curl", *options, *by_file, "--next", *options, *by_url]
    result = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    answers = result.stdout.splitlines()
    assert [json.loads(answer)["errorCode"] for answer in answers[::2]] == ["0", "0"], result.stderr
    assert answers[1::2] == ["1.1", "1.1"]


def test_renewed_certificate_is_served_without_a_restart(start, certificate, authority, tmp_path):
    server = start(*certificate)
    old = served_certificate(server)
    put_certificate(authority, tmp_path)
    assert until(lambda: served_certificate(server) != old, patience=15)


def test_unusable_new_certificate_leaves_the_old_one_in_use(start, certificate, authority, tmp_path):
    server = start(*certificate)
    old = served_certificate(server)
    (tmp_path / "certificate.pem").write_text("no certificate", encoding="utf-8")
    server.process.send_signal(signal.SIGHUP)
    until(lambda: log_says(server, "the old one stays"))
    assert served_certificate(server) == old
    put_certificate(authority, tmp_path)
    server.process.send_signal(signal.SIGHUP)
    assert until(lambda: served_certificate(server) != old)


def test_certificate_that_is_not_there_is_named(tmp_path):
    result = run(
        *serve_command(
            tmp_path / "state", "--tls-certificate", tmp_path / "none.pem", "--tls-key", tmp_path / "none.key"
        )
    )
    assert result.returncode not in (0, None) and "none.pem" in result.stderr


# The end, of the server and of clients.


def test_request_under_way_at_the_end_is_answered(start, files):
    server = start()
    key = server.key("branch")
    held = files.hold("under-way", SCAN.content)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(server.by_url, key, held.url)
        assert held.asked.wait(PATIENCE)
        server.process.send_signal(signal.SIGTERM)
        until(lambda: not is_ready(server))
        held.released.set()
        assert answer.result().status_code == 200
    assert server.process.wait(PATIENCE) == 0


def is_ready(server) -> bool:
    """As a load balancer sees it, to whom a connection that is refused says the same as a bad status."""
    try:
        return requests.get(server.address + "/readyz", timeout=PATIENCE).status_code == 200
    except requests.ConnectionError:
        return False


def test_request_that_takes_too_long_does_not_put_off_the_end(start, files):
    server = start(config="[http]\ndrain_seconds = 1\n")
    key = server.key("branch")
    held = files.hold("too-long", SCAN.content)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(server.by_url, key, held.url)
        assert held.asked.wait(PATIENCE)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == 0
        with pytest.raises(requests.ConnectionError):
            answer.result()


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_signal_ends_the_server_in_order_from_its_first_line_on(start, name):
    server = start()
    server.process.send_signal(signal.Signals[name])
    assert server.process.wait(PATIENCE) == 0


def test_two_servers_share_keys_but_no_port(start, tmp_path):
    one, two = start(), start()
    key = one.key("branch")
    assert one.knows(key) and two.knows(key)
    result = run(*serve_command(tmp_path / "state", listen=one.address.removeprefix("http://")))
    assert result.returncode not in (0, None) and "cannot listen" in result.stderr


def test_client_that_goes_away_stops_the_work_for_it(start):
    server = start()
    key = server.key("branch")
    body = requests.Request("POST", server.address + PATH, auth=key, files={"img": document(30)}).prepare()
    connection = http.client.HTTPConnection(server.address.removeprefix("http://"), timeout=PATIENCE)
    connection.request("POST", PATH, body.body, dict(body.headers))
    until(lambda: server.metric("cic_documents_at_work") == 1)
    connection.close()
    until(lambda: server.metric("cic_gone_total") == 1)
    until(lambda: server.metric("cic_documents_at_work") == 0)
    # Otherwise all pages would have been read by now, and counted.
    assert server.metric("cic_pages_read_total") < 30
    assert server.metric("cic_requests_in_hand") == 0
    assert server.metric("cic_answer_seconds_count") == 0


def test_client_that_goes_away_while_its_document_is_fetched_is_forgotten(start, files):
    server = start()
    key = server.key("branch")
    assert server.knows(key)
    held = files.hold("forgotten", SCAN.content)
    command = [
        "curl",
        "--silent",
        "--user",
        ":".join(key),
        "--get",
        "--data-urlencode",
        f"img={held.url}",
        server.address + PATH,
    ]
    with subprocess.Popen(command) as curl:
        assert held.asked.wait(PATIENCE)
        curl.terminate()
    until(lambda: server.metric("cic_gone_total") == 1)
    until(lambda: server.metric("cic_requests_in_hand") == 0)


def test_connections_beyond_the_most_are_closed_until_others_go(start):
    server = start(config="[http]\nmax_connections = 2\n")
    with greeted(server), greeted(server), pytest.raises(requests.ConnectionError):
        server.is_up()
    until(lambda: is_ready(server))


def greeted(server) -> socket.socket:
    """A connection that has been answered once, and stays: it counts."""
    connection = connect(server)
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: kiosk\r\n\r\n")
    assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    return connection


def connect(server) -> socket.socket:
    host, port = server.address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), PATIENCE)


def test_client_that_reads_nothing_gives_up_its_connection(start):
    server = start(config="[http]\nmax_connections = 1\n")
    with connect(server) as silent:
        # More than the buffers on the way hold.
        silent.sendall(b"GET /docs/files/swagger-ui-bundle.js HTTP/1.1\r\nhost: a\r\n\r\n" * 8)
        until(lambda: is_ready(server))


def test_connections_that_say_too_little_are_closed(server):
    # Side by side, as each of them takes the server's patience.
    with connect(server) as silent, connect(server) as halting:
        halting.sendall(b"GET /healthz HTTP/1.1\r\nhost:")
        for connection in (silent, halting):
            while connection.recv(1000):
                pass
