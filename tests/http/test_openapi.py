"""The OpenAPI document is valid, and true: whatever is sent, the server answers as it says."""

import subprocess
import sys
from pathlib import Path

from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

CONFIG = Path(__file__).with_name("schemathesis.toml")


def test_document_is_valid_openapi_3_1(server):
    assert server.openapi["openapi"].startswith("3.1.")
    assert [error.message for error in OpenAPIV31SpecValidator(server.openapi).iter_errors()] == []


def test_schemas_are_valid_json_schema(server):
    for schema in server.openapi["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_schemathesis_finds_no_answer_that_the_document_does_not_promise(start, tmp_path):
    # Whether there is room is no matter of this test, nor are the addresses that it makes up.
    server = start(config="[http]\nqueue = 1000\n[url]\nmax_seconds = 1\n")
    key = server.key("schemathesis")
    assert server.knows(key)
    program = Path(sys.executable).with_name("schemathesis")
    command = [program, "--config-file", CONFIG, "run", server.address + "/openapi.json", "--auth", ":".join(key)]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    assert server.is_up()
