"""A cloud that a kiosk may ask: another cic-kiosk, `serve`, in a process of its own."""

import json

import pytest

from contract import PATH
from kiosk import Server

CONSENT = "2026/17"


@pytest.fixture
def cloud(tmp_path, logs):
    with Server(tmp_path / "cloud", logs / f"{tmp_path.name}-cloud.log") as cloud:
        yield cloud


def settings_for(cloud: Server) -> dict:
    """A kiosk's, so that it asks this one."""
    return {"enabled": True, "address": cloud.address + PATH, "hosts": ["127.0.0.1"], "consent": CONSENT}


def credentials_for(key) -> dict[str, str]:
    """A kiosk's, so that it asks with this key."""
    return {"cloud-key": key.api_key, "cloud-secret": key.api_secret}


def transfers(kiosk) -> list[dict]:
    """What went to the cloud."""
    if not (kiosk.state / "transfers.sqlite").exists():
        return []
    result = kiosk.command("cloud", "transfers", "--json")
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]
