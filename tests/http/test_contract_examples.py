"""The contract's own examples run as they stand there: only address, key and document are others."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from contract import SCALARS, check_answer
from documents import CAMERA, COPY, SCAN
from kiosk import PATIENCE

EXAMPLES = Path(__file__).parent / "contract_examples"


@pytest.fixture
def run_example(server, key, tmp_path):
    """Runs an example with its one document replaced, and gives the answer that it prints."""

    def run_example(name: str, placeholder: str, document: str) -> dict:
        text = (EXAMPLES / name).read_text(encoding="utf-8")
        for old, new in {
            "https://demo.computervision.com.vn": server.address,
            "YOUR_API_KEY": key.api_key,
            "YOUR_API_SECRET": key.api_secret,
            placeholder: document,
        }.items():
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        program = tmp_path / name
        program.write_text(text, encoding="utf-8")
        result = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=PATIENCE)
        assert result.returncode == 0, result.stderr
        answer = ast.literal_eval(result.stdout)
        assert (answer["errorCode"], answer["errorMessage"]) == ("0", "Success")
        return check_answer(answer, server.openapi)

    return run_example


def scalars(info: dict) -> dict:
    return {name: info[name] for name in SCALARS}


def test_example_with_an_address_prints_the_report_behind_it(run_example, files):
    url = files.put("copy.png", COPY.content)
    [info] = run_example("from_url.py", "https://example.com/image.png", url)["data"]["info"]
    assert scalars(info) == scalars(COPY.info)


def test_example_with_a_file_prints_the_report_in_it(run_example):
    [info] = run_example("from_file.py", "/path/to/your/image.jpg", str(CAMERA.path))["data"]["info"]
    assert scalars(info) == scalars(CAMERA.info)


def test_example_with_base64_prints_the_report_on_the_picture(run_example, tmp_path):
    page = tmp_path / "page.jpg"
    SCAN.pages[0].save(page)
    [info] = run_example("from_base64.py", "path_img", str(page))["data"]["info"]
    printed = {name: value for name, value in scalars(SCAN.info).items() if value in SCAN.truth["text"][0]}
    assert {"report_time", "cic_code"} < set(printed)
    assert scalars(info) == {name: printed.get(name, "") for name in SCALARS}
