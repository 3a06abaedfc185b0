"""Plays systemd for one service: takes its notifications down."""

import socket
import threading
import time
from pathlib import Path
from typing import NamedTuple

from kiosk import until


class Notification(NamedTuple):
    """When it came, in seconds, and its assignments."""

    at: float
    says: dict[str, str]


class Systemd:
    def __init__(self, place: Path):
        self.place = place
        self.notifications: list[Notification] = []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def __enter__(self):
        self.socket.bind(str(self.place))
        threading.Thread(target=self._take_down, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.socket.close()

    @property
    def env(self) -> dict[str, object]:
        return {"NOTIFY_SOCKET": self.place}

    def _take_down(self):
        while True:
            try:
                message = self.socket.recv(4096).decode()
            except OSError:
                return
            says = dict(line.split("=", 1) for line in message.splitlines())
            self.notifications.append(Notification(time.monotonic(), says))

    def said(self, key: str, value: str | None = None) -> list[Notification]:
        """The notifications with this assignment."""
        return [one for one in self.notifications if key in one.says and value in (None, one.says[key])]

    def wait_for(self, key: str, value: str | None = None, number: int = 1) -> Notification:
        """The notification of this number that has this assignment."""
        return until(lambda: self.said(key, value)[number - 1 :])[0]

    @property
    def status(self) -> str:
        return next((one.says["STATUS"] for one in reversed(self.notifications) if "STATUS" in one.says), "")
