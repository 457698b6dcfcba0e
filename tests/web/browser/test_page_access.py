"""The page of `sr3 web` for everybody: by keyboard, touch and screen reader, light and dark, narrow and wide."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from driving import by_id, complaints, drop, enlarge, select, split, transforms, until_done, visit, wait, zoom

import chromium

chromium.need("selenium.webdriver")
from selenium.webdriver import ActionChains  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

pytestmark = pytest.mark.browser

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
WIDTHS = [360, 800, 1280]


def axe():
    chromium.need("axe_core_python")
    return (Path(find_spec("axe_core_python").origin).parent / "axe.min.js").read_text(encoding="utf-8")


def violations(browser, source):
    browser.execute_script(source)
    script = "axe.run(document, {runOnly: arguments[0]}).then((found) => arguments[1](found.violations))"
    found = browser.execute_async_script(script, RULES)
    return [(one["id"], [node["html"][:150] for node in one["nodes"]]) for one in found]


def emulate(browser, *, scheme="light", width=1280):
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_any_state(browser, fake, photo, tmp_path, scheme):
    source = axe()
    emulate(browser, scheme=scheme)
    visit(browser, fake.url)
    assert violations(browser, source) == []
    fake.step_seconds = 1
    drop(browser, photo)
    select(browser, "model", "fine")
    select(browser, "samples", 3)
    enlarge(browser)
    wait(browser, "document.querySelector('#right .picture')")
    assert violations(browser, source) == []
    fake.step_seconds = 0.01
    until_done(browser)
    by_id(browser, "overlay").click()
    assert violations(browser, source) == []
    browser.execute_script("document.querySelector('[name=view][value=beside]').click()")
    wait(browser, "document.querySelectorAll('.pane .picture').length === 5")
    assert violations(browser, source) == []
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no")
    drop(browser, broken)
    by_id(browser, "enlarge").click()
    wait(browser, "!document.getElementById('trouble').hidden")
    assert violations(browser, source) == []


def test_every_control_has_a_name_and_the_page_its_landmarks(browser, fake, photo):
    visit(browser, fake.url)
    drop(browser, photo)
    select(browser, "model", "fine")
    select(browser, "samples", 2)
    enlarge(browser)
    until_done(browser)
    controls = browser.find_elements("css selector", "button, select, input, [role=slider], [role=group], progress")
    names = {control.accessible_name for control in controls if control.is_displayed()}
    assert "" not in names
    assert {"Divider between before and after", "Zoom in", "Stop", "Another sample", "Remove photo.png"} - names == {
        "Stop"
    }
    assert [len(browser.find_elements("tag name", tag)) for tag in ("main", "h1", "aside")] == [1, 1, 1]
    assert by_id(browser, "status").get_attribute("role") == "status"
    wait(browser, "document.getElementById('status').textContent === 'photo.png: Done: 2 samples.'")


def test_everything_is_reached_and_done_by_keyboard_alone(browser, fake, photo):
    visit(browser, fake.url)
    press = ActionChains(browser)
    press.send_keys(Keys.TAB).perform()
    assert browser.switch_to.active_element.text == "Choose pictures"
    drop(browser, photo)
    wait(browser, "document.activeElement.id === 'enlarge'")
    ActionChains(browser).send_keys(Keys.ENTER).perform()
    until_done(browser)
    reached = set()
    for _ in range(60):
        ActionChains(browser).send_keys(Keys.TAB).perform()
        focused = browser.switch_to.active_element
        reached.add(focused.get_attribute("id"))
        ring = browser.execute_script(
            "const style = getComputedStyle(arguments[0]), knob = arguments[0].querySelector('span');"
            "return style.outlineStyle !== 'none' || Boolean(knob && getComputedStyle(knob).outlineStyle !== 'none')",
            focused,
        )
        assert ring or focused.tag_name == "body", focused.get_attribute("outerHTML")[:200]
    expected = (
        "divider zoom-in zoom-out zoom-fit left-choice right-choice save another copy add model size seed enlarge"
    )
    assert set(expected.split()) <= reached
    divider = by_id(browser, "divider")
    divider.send_keys(Keys.END)
    assert split(browser) == 100
    assert divider.get_attribute("aria-valuetext") == "100 per cent before, 0 per cent after"
    assert complaints(browser) == []


def test_a_disabled_button_that_had_the_focus_does_not_lose_it(browser, fake, photo):
    fake.step_seconds = 0.3
    visit(browser, fake.url)
    drop(browser, photo)
    by_id(browser, "enlarge").send_keys(Keys.ENTER)
    wait(browser, "!document.getElementById('running').hidden")
    assert browser.switch_to.active_element.get_attribute("id") == "stop"
    until_done(browser)
    assert browser.switch_to.active_element.get_attribute("id") == "divider"


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_window(browser, fake, photo, width):
    emulate(browser, width=width)
    visit(browser, fake.url)
    fits = "return document.documentElement.scrollWidth <= innerWidth"
    assert browser.execute_script(fits)
    drop(browser, photo)
    select(browser, "samples", 2)
    enlarge(browser)
    until_done(browser)
    by_id(browser, "overlay").click()
    assert browser.execute_script(fits)
    browser.execute_script("document.querySelector('[name=view][value=beside]').click()")
    wait(browser, "document.querySelector('.pane .picture')")
    assert browser.execute_script(fits)


def touch(browser, kind, *points):
    places = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
    browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})


@pytest.mark.parametrize("browser", ["phone"], indirect=True)
def test_by_touch_one_finger_moves_the_divider_two_zoom_and_one_then_moves_the_picture(browser, fake, photo):
    visit(browser, fake.url)
    drop(browser, photo)
    enlarge(browser)
    until_done(browser)
    browser.execute_script("document.getElementById('stage').scrollIntoView({ block: 'center' })")
    box = browser.execute_script("return document.getElementById('stage').getBoundingClientRect().toJSON()")
    x, y = box["left"] + box["width"] / 2, box["top"] + box["height"] / 2
    touch(browser, "touchStart", (x, y))
    for step in range(1, 6):
        touch(browser, "touchMove", (x + 16 * step, y))
    touch(browser, "touchEnd")
    assert split(browser) == pytest.approx(100 * (0.5 + 80 / box["width"]), abs=2)
    fitted = zoom(browser)
    touch(browser, "touchStart", (x - 40, y - 60), (x + 40, y - 60))
    for step in range(1, 6):
        touch(browser, "touchMove", (x - 40 - 8 * step, y - 60), (x + 40 + 8 * step, y - 60))
    touch(browser, "touchEnd")
    assert zoom(browser) == pytest.approx(2 * fitted, rel=0.1)
    before, divided = transforms(browser, "#stage .sheet"), split(browser)
    touch(browser, "touchStart", (x - 100, y - 60))
    for step in range(1, 6):
        touch(browser, "touchMove", (x - 100, y - 60 + 10 * step))
    touch(browser, "touchEnd")
    left, right = transforms(browser, "#stage .sheet")
    assert left == right != before[0]
    assert split(browser) == divided


def test_with_reduced_motion_nothing_moves_by_itself(browser, fake):
    features = [{"name": "prefers-reduced-motion", "value": "reduce"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    visit(browser, fake.url)
    script = "return [...document.querySelectorAll('*')].map((one) => getComputedStyle(one).transitionDuration)"
    assert set(browser.execute_script(script)) == {"0s"}


def test_nothing_is_asked_of_another_machine_and_the_policy_is_kept(browser, fake, photo):
    visit(browser, fake.url)
    drop(browser, photo)
    enlarge(browser)
    until_done(browser)
    asked = browser.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert all(name.startswith((fake.url, f"blob:{fake.url}")) for name in asked), json.dumps(asked)
    assert complaints(browser) == []
