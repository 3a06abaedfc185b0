"""What clients send besides the contract's own examples, and what they get to see of the pages."""

import base64
import io
import json
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from contract import PATH, SCALARS, TABLES, check_answer
from documents import REPORTS, SCAN, picture
from kiosk import PATIENCE


@pytest.fixture
def curl(server, key):
    """Runs curl on the contract's path, and gives the answer."""

    def curl(query: str, *options: str, stdin: bytes = b"") -> dict:
        command = ["curl", "--silent", "--show-error", "--user", ":".join(key), *options, server.address + PATH + query]
        result = subprocess.run(command, input=stdin, capture_output=True, timeout=PATIENCE)
        assert result.returncode == 0, result.stderr
        return check_answer(json.loads(result.stdout), server.openapi)

    return curl


def is_the_scan(answer: dict) -> bool:
    [info] = answer["data"]["info"]
    return [info[name] for name in SCALARS] == [SCAN.info[name] for name in SCALARS]


@pytest.fixture(scope="module")
def first_page():
    return picture(SCAN.pages[0], "JPEG")


def test_curl_sends_a_form(curl):
    assert is_the_scan(curl("?format_type=file&get_thumb=false", "--form", f"img=@{SCAN.path}"))


def test_curl_sends_a_form_with_all_parameters_in_it(curl):
    form = [f"img=@{SCAN.path}", "format_type=file", "get_thumb=false"]
    assert is_the_scan(curl("", *(part for field in form for part in ("--form", field))))


def test_curl_sends_a_form_whose_size_it_does_not_know(curl):
    assert is_the_scan(curl("?format_type=file", "--form", "img=@-;filename=scan.pdf", stdin=SCAN.content))


def test_curl_sends_json_from_its_stdin(curl):
    body = json.dumps({"img": base64.b64encode(SCAN.content).decode()}).encode()
    options = ["--header", "content-type: application/json", "--data", "@-"]
    assert is_the_scan(curl("?format_type=base64&get_thumb=false", *options, stdin=body))


def test_curl_names_an_address_that_has_a_query_of_its_own(curl, files):
    url = files.put("scan.pdf?day=1&part=2", SCAN.content)
    parameters = [f"img={url}", "format_type=url", "get_thumb=false"]
    assert is_the_scan(curl("", "--get", *(part for one in parameters for part in ("--data-urlencode", one))))


def test_document_is_fetched_over_tls_from_where_the_banks_authority_vouches(
    start, authority, tmp_path, files_over_tls
):
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    config = f"[url]\nauthorities = '{tmp_path}/authority.pem'\nallow = ['localhost']\n"
    server = start(config=config)
    answer = server.by_url(server.key("branch"), files_over_tls.put("scan.pdf", SCAN.content)).json()
    assert is_the_scan(answer)


@pytest.mark.parametrize(
    "encode",
    [
        pytest.param(base64.b64encode, id="standard alphabet"),
        pytest.param(base64.urlsafe_b64encode, id="URL-safe alphabet"),
        pytest.param(base64.encodebytes, id="line breaks"),
        pytest.param(lambda content: b"data:image/jpeg;base64," + base64.b64encode(content), id="data URL"),
        pytest.param(lambda content: base64.b64encode(content).rstrip(b"="), id="no padding"),
    ],
)
def test_base64_is_read_as_clients_write_it(server, key, first_page, encode):
    response = server.by_base64(key, encode(first_page).decode())
    assert response.json()["data"]["info"][0]["cic_code"] == SCAN.info["cic_code"]


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "BMP"])
def test_picture_is_read_whatever_its_format(server, key, kind):
    response = server.by_file(key, picture(SCAN.pages[0], kind))
    assert response.json()["data"]["info"][0]["cic_code"] == SCAN.info["cic_code"]


def test_without_format_type_the_document_says_what_it_is(server, key, files, first_page):
    by_file = server.ask("POST", auth=key, files={"img": first_page})
    by_base64 = server.ask("POST", auth=key, json={"img": base64.b64encode(first_page).decode()})
    by_url = server.ask("GET", auth=key, params={"img": files.put("page.jpg", first_page)})
    assert [response.status_code for response in (by_file, by_base64, by_url)] == [200] * 3


@pytest.mark.parametrize("way", ["query", "form", "urlencoded", "json"])
def test_parameters_may_stand_wherever_a_client_puts_them(server, key, files, first_page, way):
    parameters = {"img": files.put("page.jpg", first_page), "format_type": "url", "get_thumb": "true"}
    fields = {name: (None, value) for name, value in parameters.items()}
    place = {"query": "params", "form": "files", "urlencoded": "data", "json": "json"}[way]
    response = server.ask("POST", auth=key, **{place: fields if way == "form" else parameters})
    assert len(response.json()["data"]["info"][0]["imgs"]) == 1


def test_documents_read_at_the_same_time_are_not_mixed_up(server, key):
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda report: server.by_file(key, report.content).json(), REPORTS * 2))
    times = [answer["data"]["info"][0]["report_time"] for answer in answers]
    assert times == [report.info["report_time"] for report in REPORTS * 2]
    assert len({answer["meta"]["scan_id"] for answer in answers}) == len(answers)


def opened(text: str) -> Image.Image:
    image = Image.open(io.BytesIO(base64.b64decode(text, validate=True)))
    image.load()
    return image


@pytest.fixture(scope="module")
def with_pictures(server, key):
    """The report in an answer with pictures."""
    [info] = server.by_file(key, SCAN.content, get_thumb="true").json()["data"]["info"]
    return info


def test_each_page_comes_as_a_jpeg(with_pictures):
    images = [opened(text) for text in with_pictures["imgs"]]
    assert [image.format for image in images] == ["JPEG"] * len(SCAN.pages)
    assert all(image.width < image.height for image in images)


def test_each_table_that_is_there_comes_as_a_picture(with_pictures):
    for name in TABLES:
        text = with_pictures[f"{name}_image"]
        assert bool(text) >= bool(SCAN.info[name]), name
        assert not text or min(opened(text).size) > 10, name


def test_boxes_lie_within_the_picture_of_their_page(with_pictures):
    sizes = [opened(text).size for text in with_pictures["imgs"]]

    def lies_within(box, page) -> bool:
        left, top, right, bottom = box
        width, height = sizes[page]
        return 0 <= left < right <= width and 0 <= top < bottom <= height

    for name in SCALARS:
        assert lies_within(with_pictures[f"{name}_box"], with_pictures[f"{name}_id"]), name
    cells = [
        cell
        for name in TABLES
        for row in with_pictures[name]
        for cell in row
        if cell["box"] and isinstance(cell["value"], str)
    ]
    assert len(cells) > 10 and all(lies_within(cell["box"], cell["id"]) for cell in cells)


def test_python_writes_its_truths_with_capitals(server, key, first_page):
    images = server.by_file(key, first_page, get_thumb=True).json()["data"]["info"][0]["imgs"]
    assert len(images) == 1 and opened(images[0])


@pytest.mark.parametrize("no", [{"get_thumb": "false"}, {"get_thumb": False}, {}], ids=["false", "False", "nothing"])
def test_without_get_thumb_there_are_no_pictures(server, key, first_page, no):
    [info] = server.by_file(key, first_page, **no).json()["data"]["info"]
    assert info["imgs"] == [] and {info[f"{name}_image"] for name in TABLES} == {""}
