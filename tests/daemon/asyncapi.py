"""Holds messages to docs/asyncapi.yaml."""

from functools import cache

import yaml
from jsonschema import Draft7Validator

from kiosk import ROOT


@cache
def _document() -> dict:
    return yaml.safe_load((ROOT / "docs/asyncapi.yaml").read_text(encoding="utf-8"))


@cache
def _validator(kind: str) -> Draft7Validator | None:
    """For the messages of topics `cic/v1/{branch}/{kiosk}/KIND`."""
    document = _document()
    for channel in document["channels"].values():
        if channel["address"] == f"cic/v1/{{branch}}/{{kiosk}}/{kind}":
            [name] = channel["messages"]
            payload = document["components"]["messages"][name]["payload"]
            return Draft7Validator({**payload, "components": document["components"]})
    return None


def mistake(kind: str, message: object) -> str | None:
    """What is wrong with a message, if anything is."""
    validator = _validator(kind)
    if validator is None:
        return "no channel has this topic"
    error = next(validator.iter_errors(message), None)
    return error and f"{error.message} at {error.json_path}"
