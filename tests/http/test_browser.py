"""A browser as the client: a form on somebody's page, and the documentation."""

import json

import pytest
from playwright.sync_api import expect

from chromium import chromium
from contract import PATH, check_answer
from documents import SCAN
from kiosk import PATIENCE

FORM = """<!DOCTYPE html>
<title>A page of the bank</title>
<form method="post" enctype="multipart/form-data" action="{action}">
<input type="file" name="img">
<input type="hidden" name="format_type" value="file">
<input type="hidden" name="get_thumb" value="false">
<button>Read</button>
</form>
"""


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser, key):
    """A page whose user knows the key."""
    credentials = {"username": key.api_key, "password": key.api_secret}
    with browser.new_context(http_credentials=credentials) as context:
        context.set_default_timeout(PATIENCE * 1000)
        yield context.new_page()


@pytest.fixture
def stranger(browser):
    """A page whose user must say who he is, with what it asked for and complained about."""
    with browser.new_context() as context:
        context.set_default_timeout(PATIENCE * 1000)
        page = context.new_page()
        page.asked_for, page.complaints = [], []
        page.on("request", lambda request: page.asked_for.append(request.url))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        # What the content security policy forbids is an error on the console, too.
        page.on(
            "console", lambda message: message.type in ("error", "warning") and page.complaints.append(message.text)
        )
        yield page


def test_form_on_a_page_sends_a_file_and_shows_the_answer(page, server, files):
    form = FORM.format(action=server.address + PATH).encode()
    page.goto(files.put("form.html", form, "text/html"))
    page.set_input_files("input[type=file]", SCAN.path)
    with page.expect_navigation(url=server.address + PATH) as navigation:
        page.click("button")
    assert navigation.value.status == 200
    answer = check_answer(json.loads(page.locator("pre").inner_text()), server.openapi)
    assert answer["data"]["info"][0]["cic_code"] == SCAN.info["cic_code"]


def test_documentation_shows_all_operations_without_leaving_this_machine(stranger, server):
    stranger.goto(server.address + "/docs")
    for path, methods in server.openapi["paths"].items():
        for method, operation in methods.items():
            block = stranger.locator(f"#operations-default-{operation['operationId']}")
            expect(block).to_contain_text(method.upper(), timeout=PATIENCE * 1000)
            assert path in block.inner_text().replace("\u200b", "")
    # All that it takes to draw them has come. That the network is idle, a busy browser may never say.
    stranger.wait_for_load_state("load")
    stranger.evaluate("document.fonts.ready.then(() => true)")
    assert all(url.startswith((server.address + "/", "data:")) for url in stranger.asked_for), stranger.asked_for
    assert stranger.complaints == []


def test_documentation_tries_the_api_out(stranger, server, key, files):
    url = files.put("tried.pdf", SCAN.content)
    stranger.goto(server.address + "/docs")
    stranger.click("button.authorize")
    stranger.fill("[aria-label=auth-basic-username]", key.api_key)
    stranger.fill("[aria-label=auth-basic-password]", key.api_secret)
    stranger.click(".auth-container button.authorize")
    stranger.click(".auth-container button.btn-done")
    operation = stranger.locator("#operations-default-creditReportByUrl")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.locator("tr[data-param-name=img] input").fill(url)
    operation.get_by_role("button", name="Execute").click()
    response = operation.locator(".live-responses-table .response")
    expect(response.locator(".response-col_status")).to_contain_text("200", timeout=PATIENCE * 1000)
    expect(response.locator(".response-col_description")).to_contain_text(
        SCAN.info["cic_code"], timeout=PATIENCE * 1000
    )
    assert stranger.complaints == []
