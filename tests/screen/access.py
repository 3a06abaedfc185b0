"""What WCAG 2.2 AA asks of a page: what axe-core finds, and what can be measured beyond that."""

from playwright.sync_api import Page

from kiosk import ROOT

AXE = ROOT / ".cache/axe/axe.min.js"
# What WCAG 2.2 AA asks for, and what axe advises beyond it.
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

# Windows that the pages are looked at in: an upright display, a desk's, a small one, and one of 1280 pixels in which
# everything is four times as large (1.4.10).
UPRIGHT, DESK, SMALL, ENLARGED = (720, 1280), (1280, 800), (800, 480), (320, 256)
SIZES = [UPRIGHT, DESK, SMALL, ENLARGED]

# More than anybody has to press to come around a page.
TABS = 40

# What a reader may lay over the text (1.4.12). A style sheet that is made by a script is none that the policy forbids.
SPACED = """() => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(`* { line-height: 1.5 !important; letter-spacing: 0.12em !important; word-spacing: 0.16em !important }
                       p { margin-bottom: 2em !important }`);
    document.adoptedStyleSheets = [sheet];
}"""
UNSPACED = "() => { document.adoptedStyleSheets = []; }"

# Elements with text of which something is cut off, and cannot be scrolled to.
CUT = """() => [...document.querySelectorAll("body *")].filter(it => {
    const style = getComputedStyle(it), hides = way => ["hidden", "clip"].includes(way);
    return it.checkVisibility() && it.innerText?.trim()
        && (hides(style.overflowX) && it.scrollWidth > it.clientWidth + 1
            || hides(style.overflowY) && it.scrollHeight > it.clientHeight + 1);
}).map(it => it.outerHTML.slice(0, 120))"""

# Buttons whose words stand beside them.
SPILLED = """() => [...document.querySelectorAll("button, a.button")].filter(it => it.checkVisibility() && (
    it.scrollWidth > it.clientWidth + 1 || it.scrollHeight > it.clientHeight + 1
)).map(it => it.outerHTML.slice(0, 120))"""

# What is pressed. Boxes on a paper have their entry in the list instead; what is in sight only when it has the focus is
# not pressed; a box to tick has its label.
PRESSED = "button, a:not(svg a):not(.skip), summary, label:has(input), select, textarea, input:not([type=checkbox])"

TOO_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"

# What has the focus, of what a person can give it to: whether it is marked, and whether anything of it is in sight.
FOCUS = """() => {
    const it = document.activeElement;
    if (!it || it.tabIndex < 0 || it === document.body) return null;
    const style = getComputedStyle(it), box = it.getBoundingClientRect();
    const shares = [0.02, 0.25, 0.5, 0.75, 0.98];
    const at = (x, y) => document.elementFromPoint(box.left + x * box.width, box.top + y * box.height);
    const seen = shares.some(x => shares.some(y => it.contains(at(x, y))));
    const marked = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
    return {what: it.outerHTML.slice(0, 120), seen, marked};
}"""

# English words of a Vietnamese page that do not say that they are English.
UNNAMED = """() => [...document.querySelectorAll(".en")].filter(it => it.closest("[lang]").lang !== "en")
    .map(it => it.outerHTML.slice(0, 120))"""

MOVING = """() => document.getAnimations().filter(it => it.playState === "running")
    .map(it => it.effect.target.outerHTML.slice(0, 120))"""


def violations(page: Page) -> list[str]:
    """What axe-core finds, in its words and with the elements."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("rules => axe.run(document, {runOnly: rules})", RULES)
    assert len(found["passes"]) > 5, "axe looked at nothing"
    return [
        f"{it['id']}: {it['help']}: {node['html'][:200]} {node['failureSummary']}"
        for it in found["violations"]
        for node in it["nodes"]
    ]


def too_wide(page: Page) -> list[str]:
    """How far it has to be scrolled to the side (1.4.10)."""
    wide = page.evaluate(TOO_WIDE)
    return [f"{wide} pixels too wide"] if wide > 0 else []


def lost_by_spacing(page: Page) -> list[str]:
    """What is cut off where the text has more room (1.4.12)."""
    page.evaluate(SPACED)
    lost = page.evaluate(CUT) + page.evaluate(SPILLED) + too_wide(page)
    page.evaluate(UNSPACED)
    return [f"with more space in the text: {it}" for it in lost]


def too_small(page: Page, least: int) -> list[str]:
    """Of what can be pressed: what a finger, or a hand that shakes, misses (2.5.8)."""
    wrong = []
    for it in page.locator(PRESSED).all():
        size = it.bounding_box() if it.is_visible() else None
        if size and min(size["width"], size["height"]) < least:
            wrong.append(f"{it.inner_text()[:40]!r}: {size['width']:.0f} x {size['height']:.0f} pixels")
    return wrong


def lost_focus(page: Page) -> list[str]:
    """Where the keyboard comes to and nobody sees it (2.4.7, 2.4.11)."""
    wrong, passed = [], set()
    for _ in range(TABS):
        page.keyboard.press("Tab")
        focus = page.evaluate(FOCUS)
        if focus is not None and focus["what"] not in passed:
            passed.add(focus["what"])
            wrong += [f"the focus is not {how}: {focus['what']}" for how in ("seen", "marked") if not focus[how]]
        elif passed:
            break
    assert passed or not page.locator("button:visible, a:visible").count(), "the keyboard comes to nothing"
    return wrong


def moving(page: Page) -> list[str]:
    """What moves for somebody who wants nothing to (2.2.2, 2.3.3)."""
    page.emulate_media(reduced_motion="reduce")
    moving = page.evaluate(MOVING)
    page.emulate_media(reduced_motion="no-preference")
    return [f"it moves: {it}" for it in moving]


def unnamed(page: Page) -> list[str]:
    """Words in another language than the page's that do not say so (3.1.2)."""
    return page.evaluate(UNNAMED)


def barriers(page: Page, least: int, sizes: list[tuple[int, int]]) -> list[str]:
    """All of that, in windows of these sizes."""
    size = page.viewport_size
    found = [*unnamed(page), *moving(page)]
    for width, height in sizes:
        page.set_viewport_size({"width": width, "height": height})
        # What fades in is no fault of contrast.
        page.wait_for_timeout(300)
        seen = [*violations(page), *too_wide(page), *lost_by_spacing(page), *too_small(page, least), *lost_focus(page)]
        found += [f"{width} x {height}: {it}" for it in seen]
    page.set_viewport_size(size)
    return found
