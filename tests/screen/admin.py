"""A technician at the kiosk's screen."""

import requests
from playwright.sync_api import Page, expect

from access import violations
from kiosk import PATIENCE, Key, keys

# Pages by what they are called.
PAGES = {
    "Overview": "/admin",
    "Charts": "/admin/charts",
    "Last scans": "/admin/scans",
    "Camera": "/admin/camera",
    "Test": "/admin/test",
    "Log": "/admin/log",
    "Configuration": "/admin/configuration",
    "Doctor": "/admin/doctor",
}


class Technician:
    """Somebody with a key, and what his browser complained of meanwhile."""

    def __init__(self, page: Page, address: str, key: Key):
        self.page, self.address, self.key = page, address, key
        page.set_default_timeout(PATIENCE * 1000)
        self.complaints: list[str] = []
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        # What the content security policy forbids is an error on the console, too.
        page.on("console", lambda it: it.type in ("error", "warning") and self.complaints.append(it.text))

    def check(self):
        # A status of 400 and more is the answer that a test asked for.
        assert [it for it in self.complaints if "server responded with a status of 4" not in it] == []

    def log_in(self, key: Key | None = None) -> "Technician":
        self.page.goto(self.address + "/admin")
        api_key, secret = key or self.key
        self.page.get_by_label("Key (api_key)").fill(api_key)
        self.page.get_by_label("Secret (api_secret)").fill(secret)
        self.page.get_by_role("button", name="Log in").click()
        return self

    def go(self, title: str) -> "Technician":
        self.page.get_by_role("navigation").get_by_role("link", name=title).click()
        expect(self.page.locator("h1")).to_have_text(title)
        return self

    def press(self, name: str) -> "Technician":
        self.page.get_by_role("button", name=name, exact=True).click()
        return self

    @property
    def main(self):
        return self.page.locator("main")

    def text(self) -> str:
        return self.main.inner_text()

    def find_nothing_wrong(self):
        wrong = violations(self.page)
        assert wrong == [], wrong


def admit(kiosk, *names: str) -> list[Key]:
    """Keys of these names, new ones."""
    return [keys(kiosk.state, "add", name) for name in names]


def ask(kiosk, method: str, path: str, **more) -> requests.Response:
    """A request as the kiosk's own pages send it, without following where it is led."""
    headers = {**({"Origin": kiosk.screen} if method == "POST" else {}), **more.pop("headers", {})}
    options = {"headers": headers, "allow_redirects": False, "timeout": PATIENCE}
    return requests.request(method, kiosk.screen + path, **options, **more)


def session(kiosk, key: Key) -> dict[str, str]:
    """The cookie of a session that begins."""
    answer = ask(kiosk, "POST", "/admin/login", data={"api_key": key.api_key, "api_secret": key.api_secret})
    assert answer.status_code == 303, answer.text
    return answer.cookies.get_dict()
