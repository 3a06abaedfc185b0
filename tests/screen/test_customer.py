"""A customer's whole way over the screen, in a real browser, with a real scanner, broker and cloud."""

import re
import time

import pytest
from playwright.sync_api import expect

from access import UPRIGHT
from badbroker import Fault
from chromium import PROGRAM, SWITCHES
from cloud import CONSENT, credentials_for, settings_for, transfers
from files import closed_port
from kiosk import until
from scanner import wait_for
from secrecy import found
from test_commands import SENDERS, Operator
from touch import VALUES, Screen, noted_orders, replay, told, wait_forgotten

# The screen asks so long before it forgets.
NOTICE = 20
FIRST_SCREEN = 150 * 1024

# Never sure of these, and of the others what they deserve: the cloud is asked where it may be.
DOUBT = {"decision": {"values": {"address": 1.0, "cic_code": 1.0}}}


def doubts(screen: Screen) -> list[str]:
    """How sure each value of the list is, in its order."""
    return [it.get_attribute("data-level") for it in screen.page.locator("li.value").all()]


# The way of a good scan.


def test_good_scan_is_sent_when_the_customer_says_so_and_not_before(desk, screen):
    screen.agree().scan(3)
    assert told(screen.text), "the customer does not see what was read"
    assert not desk.listener.results and not desk.kiosk.waiting()
    screen.send()
    meta = desk.answer()["meta"]
    assert (meta["pages"], meta["captured_by"]) == (3, "escl")
    assert not told(screen.page.content()), "the last page shows values"
    assert transfers(desk.kiosk) == []


def test_nothing_is_captured_before_the_customer_has_agreed(desk, screen):
    desk.feed(1)
    screen.at("consent")
    # Nor does anybody else begin, and is told why.
    began = desk.kiosk.command("scan", "start")
    assert began.returncode == 1 and "I agree" in began.stderr
    time.sleep(2)
    assert desk.scanner.pages_sent() == 0 and not desk.entries()
    screen.press("agree").at("put")
    time.sleep(2)
    assert desk.scanner.pages_sent() == 0
    screen.press("scan").at("check")
    assert desk.scanner.pages_sent() == 1


def test_order_from_afar_to_begin_fails_while_nobody_has_agreed(open_desk, open_screen):
    desk = open_desk(fleet=SENDERS)
    operator = Operator(desk.listener)
    until(lambda: desk.listener.presence)
    assert "screen" in desk.listener.presence[-1]["capabilities"]
    assert "I agree" in operator.fails(operator.give("scan"), "unavailable")
    screen = open_screen(desk).agree()
    desk.lay(0)
    assert operator.result(operator.give("scan")) == {"source": "escl"}
    expect(screen.page.locator("#count")).to_contain_text(" 1 ")


def test_pages_are_added_one_after_the_other(desk, screen):
    screen.agree()
    screen.take(0).take(1).press("all").at("check")
    # One was forgotten.
    screen.press("more").take(2).press("all").send()
    assert desk.answer()["meta"]["pages"] == 3


def test_boxes_lead_to_their_values_and_the_doubtful_ones_come_first(open_desk, open_screen):
    desk = open_desk(**DOUBT)
    screen = open_screen(desk).agree().scan(3)
    boxes = screen.page.locator("svg .box")
    assert boxes.count() > 10
    assert {box.get_attribute("data-level") for box in boxes.all()} == {"doubtful", "sure"}
    listed = doubts(screen)
    assert listed[:3] == ["doubtful", "doubtful", "sure"] and set(listed[2:]) == {"sure"}
    first = screen.page.locator("li.value").first
    expect(first).to_contain_text(re.compile("Mã số CIC|Địa chỉ"))
    last = screen.page.locator("svg a:has(.box)").last
    target = last.get_attribute("href").removeprefix("#")
    assert re.fullmatch(r"value-\d+", target)
    last.locator(".box").tap()
    entry = screen.page.locator(f"#{target}")
    expect(entry).to_be_in_viewport()
    expect(entry).to_be_focused()
    assert entry.locator("strong").inner_text().strip()


def test_start_over_forgets_what_was_read(desk, screen):
    screen.agree().scan(1).press("again").at("put")
    assert not told(screen.page.content())
    until(lambda: not desk.kiosk.waiting())
    screen.scan(1, first=1).press("cancel").at("consent")
    wait_forgotten(desk.kiosk)
    assert not desk.listener.results


# What goes wrong.


def test_blurred_page_is_asked_for_again_in_words(open_desk, open_screen, blurred, good):
    desk = open_desk([blurred, *good])
    screen = open_screen(desk).agree()
    desk.lay(0)
    screen.press("scan")
    expect(screen.page.locator("#words")).to_have_text(re.compile("mờ|nhòe|rõ"))
    assert screen.page.locator("html").get_attribute("lang") == "vi"
    assert screen.page.locator("#words").get_attribute("role") == "status"
    screen.look("again")
    desk.lay(1)
    screen.press("scan")
    expect(screen.page.locator("#words")).not_to_have_text(re.compile("mờ|nhòe"))
    screen.press("all").send()
    [quality] = desk.answer()["meta"]["quality"]
    assert quality == {"page": 0, "asked_again": ["blurred"]}


def test_wrong_paper_is_told_and_another_one_can_be_put_down(open_desk, open_screen, letter, good):
    desk = open_desk([letter, *good])
    screen = open_screen(desk).agree()
    screen.scan(1)
    assert not screen.page.locator("#send").is_visible(), "what is no report can be sent"
    assert "CIC" in screen.text
    screen.look("wrong")
    screen.press("again").scan(3, first=1).send()
    assert desk.answer()["meta"]["pages"] == 3


def test_broker_that_is_away_delays_the_result_and_the_customer_is_told(desk, screen):
    desk.gate.set(Fault.REFUSED)
    screen.agree().scan(1).send()
    expect(screen.page.locator("#words")).to_contain_text("sẽ được gửi khi có kết nối")
    screen.look("later")
    assert desk.kiosk.waiting("result") and not desk.listener.results
    desk.gate.set(None)
    assert desk.answer()["errorCode"] == "0"


def test_result_that_will_never_be_sent_is_told_and_the_staff_are_asked_for(open_desk, open_screen):
    desk = open_desk(mqtt={"max_payload_bytes": 100}, screen={"done_seconds": 600})
    screen = open_screen(desk).agree().scan(1).press("send").at("unsent")
    assert "gọi nhân viên" in screen.words and "call the staff" in screen.words
    assert not told(screen.page.content())
    screen.look("unsent")
    assert len(desk.kiosk.dead()) == 1 and not desk.listener.results
    screen.press("cancel").at("consent")


def test_document_that_cannot_be_read_again_to_be_sent_is_told(open_desk, open_screen):
    desk = open_desk(apart=True, kiosk={"attempts": 1}, http={"reading_seconds": 20}, screen={"done_seconds": 1})
    screen = open_screen(desk).agree().scan(1)
    with desk.nothing_is_read():
        screen.press("send").at("sending").at("unsent")
    # It goes by itself, as the last page does.
    screen.at("consent")
    assert len(desk.kiosk.dead()) == 1 and not desk.listener.results


def test_scanner_that_is_away_is_told_in_words(desk, screen):
    screen.agree()
    desk.scanner.unplug()
    expect(screen.page.locator("#words")).to_have_text(re.compile("máy quét", re.I))
    desk.scanner.plug()
    wait_for(desk.kiosk, "ready")
    screen.scan(1)


def test_kiosk_that_is_lost_is_said_to_be_lost_and_what_was_not_sent_never_is(open_desk, open_screen):
    desk = open_desk(screen={"listen": f"127.0.0.1:{closed_port()}"})
    screen = open_screen(desk, lost=True).agree()
    assert not screen.is_lost()
    screen.take(0)
    assert desk.kiosk.entries("open")
    desk.kiosk.kill()
    expect(screen.page.locator("#lost")).to_be_visible()
    screen.look("lost")
    desk.start()
    screen.at("consent")
    expect(screen.page.locator("#lost")).to_be_hidden()
    wait_forgotten(desk.kiosk)
    # And once what was read is to be seen.
    screen.agree().scan(1)
    desk.kiosk.kill()
    expect(screen.page.locator("#lost")).to_be_visible()
    desk.start()
    screen.at("consent")
    assert not told(screen.page.content())
    wait_forgotten(desk.kiosk)
    assert not desk.listener.results
    # It works as before.
    screen.agree().scan(1).send()
    assert desk.answer()["errorCode"] == "0"


def test_kiosk_that_can_keep_nothing_takes_nothing_and_says_whom_to_call(open_desk, open_screen):
    desk = open_desk(outbox={"min_free_bytes": 1 << 60}, screen={"done_seconds": 5})
    screen = open_screen(desk).at("consent").press("agree").at("sorry")
    assert "nhân viên" in screen.words
    screen.at("consent").press("agree").at("sorry").press("keep").look("sorry").press("cancel")
    screen.at("consent")
    assert desk.scanner.pages_sent() == 0


@pytest.mark.parametrize("orders, word", [({"adf": "ScannerAdfJam"}, "kẹt"), ({"adf": "ScannerAdfHatchOpen"}, "Nắp")])
def test_what_the_scanner_asks_for_is_told_in_words(desk, screen, orders, word):
    screen.agree()
    desk.scanner.order(**orders)
    screen.press("scan")
    expect(screen.page.locator("#words")).to_contain_text(word)
    desk.scanner.order(adf="")
    screen.scan(1)


# The cloud.


@pytest.fixture
def open_asking(open_desk, cloud):
    """Makes a desk that may ask the cloud, and doubts what it reads."""
    credentials = credentials_for(cloud.key("kiosk"))
    return lambda **screen: open_desk(credentials=credentials, cloud=settings_for(cloud), screen=screen, **DOUBT)


@pytest.fixture
def asking(open_asking):
    return open_asking()


def test_cloud_is_asked_when_the_customer_agrees_to_that_and_it_is_on_record(asking, open_screen):
    screen = open_screen(asking)
    assert not screen.page.locator("#cloud").is_checked(), "consent is given by whoever does nothing"
    screen.agree(cloud=True).scan(3).send()
    meta = asking.answer()["meta"]
    [transfer] = transfers(asking.kiosk)
    assert transfer["scan_id"] == meta["scan_id"] and transfer["outcome"] == "0"
    # Whose consent it was: the bank's, and this customer's.
    assert meta["consent"]["cloud"] and transfer["consent"] == f"{CONSENT} {meta['consent']['id']}"


def test_declined_cloud_is_not_asked_however_doubtful_the_reading_is(asking, cloud, open_screen):
    screen = open_screen(asking)
    screen.agree().scan(3).send()
    meta = asking.answer()["meta"]
    assert meta["decision"] == "review" and not meta["consent"]["cloud"]
    assert transfers(asking.kiosk) == []
    assert cloud.metric("cic_answers_total", code="0", format_type="file") == 0


def test_consent_to_the_cloud_does_not_outlive_its_visit(asking, open_screen):
    screen = open_screen(asking)
    screen.agree(cloud=True).press("cancel").at("consent")
    assert not screen.page.locator("#cloud").is_checked()
    screen.agree().scan(3).send()
    asking.answer()
    assert transfers(asking.kiosk) == []


def test_tick_that_somebody_left_behind_is_nobodys_consent(open_asking, open_screen):
    screen = open_screen(open_asking(idle_seconds=30))
    tick = screen.at("consent").page.locator("#cloud")
    tick.check()
    expect(tick).not_to_be_checked()
    # Nor does a reload bring it back.
    tick.check()
    screen.page.reload()
    expect(tick).not_to_be_checked()


def test_cloud_that_is_switched_off_is_not_mentioned(screen):
    screen.at("consent")
    assert screen.page.locator("#cloud").count() == 0


# Time.


def test_whoever_goes_away_is_asked_and_then_forgotten_at_every_step(
    open_desk, open_screen, stack, letter, blurred, good
):
    """All steps at once, each at a desk of its own, so that one time-out is waited for."""
    idle = {"screen": {"idle_seconds": 30, "done_seconds": 2}}

    def at_step(step: str):
        pages = {"wrong": [letter], "reading": [blurred]}.get(step, good)
        desk = open_desk(pages, apart=step == "reading", **idle)
        screen = open_screen(desk)
        if step != "consent":
            screen.agree()
        if step not in ("consent", "put"):
            screen.take(0)
        if step in ("check", "wrong"):
            screen.press("all").at("check")
        if step == "reading":
            stack.enter_context(desk.nothing_is_read())
            screen.press("all").at("reading")
        return desk, screen

    there = {step: at_step(step) for step in ("put", "page", "reading", "check", "wrong", "stays")}
    stays = there.pop("stays")[1]
    expect(stays.page.locator("dialog#idle")).to_be_visible()
    stays.press("stay")
    expect(stays.page.locator("dialog#idle")).to_be_hidden()
    for desk, screen in there.values():
        screen.at("consent")
        assert not told(screen.page.content()) and not screen.is_asking()
        wait_forgotten(desk.kiosk)
        assert not desk.listener.results
    assert stays.step == "put"
    stays.at("consent")


def test_screen_asks_before_it_forgets(open_desk, open_screen):
    desk = open_desk(screen={"idle_seconds": 30})
    screen = open_screen(desk).agree()
    begin = time.monotonic()
    expect(screen.page.locator("dialog#idle")).to_be_visible()
    asked = time.monotonic() - begin
    # There are twenty seconds for a look.
    screen.look("idle", [UPRIGHT]).at("consent")
    # Not in a hurry: a machine that is slow is late with both.
    assert asked > 30 - NOTICE - 2 and time.monotonic() - begin > 30 - 2


def test_last_page_goes_by_itself(open_desk, open_screen):
    desk = open_desk(screen={"done_seconds": 1})
    screen = open_screen(desk)
    screen.agree().scan(1).press("send").at("consent")
    assert desk.answer()["errorCode"] == "0"


def test_last_page_stays_for_who_wants_to_read_it_and_is_asked_for_as_any_other(open_desk, open_screen):
    screen = open_screen(open_desk(screen={"done_seconds": 3, "idle_seconds": 30}))
    screen.agree().scan(1).send().press("keep")
    expect(screen.page.locator("dialog#idle")).to_be_visible()
    assert screen.press("stay").step == "done"
    expect(screen.page.locator("dialog#idle")).to_be_hidden()
    expect(screen.page.locator("dialog#idle")).to_be_visible()
    screen.at("consent")


def test_reading_that_hangs_comes_to_an_end_that_is_told(open_desk, open_screen, blurred, good):
    desk = open_desk([blurred, *good], apart=True, http={"reading_seconds": 3})
    screen = open_screen(desk).agree().take(0)
    with desk.nothing_is_read():
        screen.press("all").at("reading").at("check")
        assert "gọi nhân viên" in screen.words and not screen.page.locator("#send").is_visible()
        screen.look()
    screen.press("again").at("put").press("cancel").at("consent")
    wait_forgotten(desk.kiosk)
    assert not desk.listener.results


# Tabs, and ways back.


def test_two_tabs_show_the_same(desk, screen, open_screen):
    other = open_screen(desk).at("consent")
    screen.agree()
    other.at("put")
    other.scan(1)
    screen.at("check")
    other.press("send").at("done")
    screen.at("done")


def test_button_of_a_visit_that_is_over_does_nothing(desk, screen):
    screen.agree().scan(1)
    with noted_orders(screen) as sent:
        screen.press("send").at("done")
    with noted_orders(screen) as agreed:
        screen.at("consent").agree()
    first = desk.answer()
    # Another customer's page lies there; the first one's tab wakes up.
    screen.scan(1, first=1)
    for order in [*sent, *agreed]:
        replay(screen, order)
    time.sleep(1)
    assert screen.step == "check" and not desk.kiosk.waiting()
    assert desk.answer() == first
    screen.complaints.clear()  # A refusal is an error on the console.
    screen.press("cancel").at("consent")


def test_back_button_brings_nobody_into_a_visit_that_is_over(desk, screen):
    screen.agree().scan(1)
    screen.page.go_back()
    screen.open().at("check")
    screen.send()
    for _ in range(4):
        screen.page.go_back()
        if not screen.page.url.startswith(screen.address):
            break
        assert not told(screen.page.content()) and screen.step in ("done", "consent")
    screen.open()


def test_reload_stays_at_its_step(desk, screen):
    screen.page.reload()
    screen.agree().page.reload()
    screen.at("put")
    screen.scan(1)
    seen = doubts(screen)
    screen.page.reload()
    screen.at("check")
    assert seen and doubts(screen) == seen
    screen.send().page.reload()
    assert screen.step in ("done", "consent") and not told(screen.page.content())
    assert desk.answer()["errorCode"] == "0"


# What the browser is left with.


def test_first_screen_is_small_and_asks_nobody_else(screen):
    screen.at("consent").page.wait_for_timeout(500)
    sizes = {answer.url: answer.bytes for answer in screen.answers}
    assert sizes and 0 < sum(sizes.values()) <= FIRST_SCREEN, sizes


def test_browser_that_keeps_all_it_may_keeps_no_value_of_a_paper(desk, browser, tmp_path):
    """Not one in a kiosk's incognito mode, but one with a disk, which writes down all that it may."""
    profile = tmp_path / "profile"
    more = {"executable_path": PROGRAM, "args": SWITCHES, "has_touch": True}
    with browser.browser_type.launch_persistent_context(profile, **more) as context:
        screen = Screen(context.new_page(), desk).open()
        screen.agree().scan(1)
        assert told(screen.text)
        screen.page.reload()
        screen.send().check()
    assert found(["/assets/"], [profile]), "it has kept nothing that one could look at"
    assert found(VALUES, [profile]) == set()


# Whom it is for.


def test_whole_way_can_be_gone_with_the_keyboard_alone(asking, open_screen):
    screen = open_screen(asking)
    keyboard = screen.page.keyboard
    screen.tab_to("cloud")
    keyboard.press("Space")
    assert screen.page.locator("#cloud").is_checked()
    keyboard.press("Space")
    screen.tab_to("agree")
    keyboard.press("Enter")
    screen.at("put")
    asking.lay(0)
    screen.tab_to("scan")
    keyboard.press("Enter")
    screen.tab_to("all")
    keyboard.press("Enter")
    screen.at("check")
    # The list of values is read with the arrow keys; each of its boxes leads to an entry of it.
    screen.tab_to("values")
    keyboard.press("End")
    expect(screen.page.locator("li.value").last).to_be_in_viewport()
    screen.tab_to("send")
    keyboard.press("Enter")
    screen.at("done")
    assert asking.answer()["errorCode"] == "0"


def test_every_step_is_usable_by_everybody(open_asking, open_screen):
    asking = open_asking(done_seconds=600)
    screen = open_screen(asking).at("consent").look("consent")
    screen.agree().look("put").take(0)
    # Its reading comes a moment later.
    expect(screen.page.locator("svg .box").first).to_be_visible()
    screen.look("page").scan(2, first=1).look("check").send().look("done")
    assert asking.answer()["meta"]["pages"] == 3


def test_steps_that_pass_in_a_moment_are_usable_by_everybody(open_desk, open_screen, blurred, good):
    desk = open_desk([blurred, *good], apart=True)
    screen = open_screen(desk).agree().take(0)
    # A picture that is not good enough is read when it is clear that there will be no better one.
    with desk.nothing_is_read():
        screen.press("all").at("reading").look("reading")
    screen.at("check").press("again").scan(3, first=1)
    with desk.nothing_is_read():
        screen.press("send").at("sending").look("sending")
    screen.at("done")
    assert desk.answer()["meta"]["pages"] == 3


def test_question_whether_somebody_is_there_can_be_answered_by_everybody(desk, screen):
    screen.agree()
    screen.page.evaluate("document.getElementById('idle').showModal()")
    screen.look()


def test_what_changes_is_said_to_who_does_not_see_it(desk, screen):
    screen.at("consent")
    assert screen.page.locator("#lost").get_attribute("role") == "alert"
    for step in ("put", "check", "done"):
        {"put": screen.agree, "check": lambda: screen.scan(1), "done": screen.send}[step]()
        # The heading says that there is another page, ...
        expect(screen.page.locator("h1")).to_be_focused()
        # ... and this what is to be done there.
        expect(screen.page.locator("#words")).to_have_attribute("role", "status")
    assert desk.answer()["errorCode"] == "0"
