"""Comparing on the page of `sr3 web`: divider, zoom and place, samples side by side, and the deviation."""

import pytest
from driving import (
    by_id,
    complaints,
    draw,
    select,
    split,
    text,
    transforms,
    until_done,
    wait,
    zoom,
)

import chromium

chromium.need("selenium.webdriver")
from selenium.webdriver import ActionChains  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

pytestmark = pytest.mark.browser


def test_the_divider_follows_mouse_and_keys_and_both_pictures_keep_the_same_zoom_and_place(browser, fake, photo):
    draw(browser, fake, photo)
    stage, divider = by_id(browser, "stage"), by_id(browser, "divider")
    quarter = round(stage.size["width"] / 4)
    ActionChains(browser).drag_and_drop_by_offset(divider, quarter, 0).perform()
    assert split(browser) == pytest.approx(75, abs=1)
    divider.send_keys(Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    assert split(browser) == pytest.approx(71, abs=1)
    divider.send_keys(Keys.HOME)
    assert split(browser) == 0
    clip = "return getComputedStyle(document.getElementById(arguments[0])).clipPath"
    assert browser.execute_script(clip, "left") == "inset(0px 100% 0px 0px)"

    fitted = zoom(browser)
    divider.send_keys("+")
    assert zoom(browser) == pytest.approx(1.25 * fitted, abs=1)
    divider.send_keys("4")
    assert zoom(browser) == 400
    divider.send_keys("+")
    assert zoom(browser) == 400
    before = transforms(browser, "#stage .sheet")
    divider.send_keys(Keys.SHIFT + Keys.ARROW_RIGHT)
    ActionChains(browser).move_to_element_with_offset(stage, 100, 60).click_and_hold().move_by_offset(
        -70, 30
    ).release().perform()
    left, right = transforms(browser, "#stage .sheet")
    assert left == right != before[0]
    assert split(browser) == 0  # a drag of a zoomed picture moves it, not the divider
    divider.send_keys("0")
    assert zoom(browser) == fitted
    ActionChains(browser).scroll_from_origin(origin_of(stage), 0, -500).perform()
    wait(browser, f"parseInt(document.getElementById('zoom-level').textContent) > {fitted}")
    assert complaints(browser) == []


def origin_of(element):
    from selenium.webdriver.common.actions.wheel_input import ScrollOrigin

    return ScrollOrigin.from_element(element)


def test_the_wheel_holds_the_point_under_the_mouse(browser, fake, photo):
    draw(browser, fake, photo)
    point = """
    const [x, y] = arguments, stage = document.getElementById("stage").getBoundingClientRect();
    const sheet = document.querySelector("#left .sheet").getBoundingClientRect();
    return [(stage.left + x - sheet.left) / sheet.width, (stage.top + y - sheet.top) / sheet.height];
    """
    wheel = """
    const [x, y] = arguments, stage = document.getElementById("stage"), box = stage.getBoundingClientRect();
    stage.dispatchEvent(new WheelEvent("wheel", { deltaY: -300, clientX: box.left + x, clientY: box.top + y,
      bubbles: true, cancelable: true }));
    """
    by_id(browser, "zoom-in").click()
    by_id(browser, "zoom-in").click()
    before = browser.execute_script(point, 300, 200)
    browser.execute_script(wheel, 300, 200)
    assert browser.execute_script(point, 300, 200) == pytest.approx(before, abs=2e-3)


def test_samples_stand_side_by_side_with_the_two_that_differ_most_first(browser, fake, photo):
    draw(browser, fake, photo, samples=3)
    browser.execute_script("document.querySelector('[name=view][value=beside]').click()")
    wait(browser, "document.querySelectorAll('.pane .picture').length === 5")
    captions = browser.execute_script(
        "return [...document.querySelectorAll('.pane figcaption')].map((caption) => caption.textContent)"
    )
    apart = ["Sample 3 · seed 0 · differ most", "Sample 1 · seed 0 · differ most"]
    assert captions == [*apart, "Sample 2 · seed 0", "Mean of the samples", "Deviation"]
    by_id(browser, "panes").send_keys("2")
    assert zoom(browser) == 200
    by_id(browser, "panes").send_keys(Keys.ARROW_DOWN)
    assert len(set(transforms(browser, ".pane .sheet"))) == 1
    assert "3 samples of many" in text(browser, "about-now")
    assert complaints(browser) == []


def test_the_deviation_lies_over_the_picture_pixel_for_pixel_with_its_legend_below(browser, fake, photo):
    draw(browser, fake, photo, samples=2)
    by_id(browser, "overlay").click()
    wait(browser, "document.querySelector('#right .overlay')?.naturalWidth")
    places = browser.execute_script("""
      return ["#right .picture", "#right .overlay"].map((selector) => {
        const box = document.querySelector(selector).getBoundingClientRect();
        return [box.left, box.top, box.width, box.height];
      });
    """)
    picture, overlay = places
    assert overlay[:3] == pytest.approx(picture[:3], abs=0.5)
    assert overlay[3] > picture[3]  # the legend, which the sheet cuts off
    wait(browser, "document.querySelector('#legend img')?.naturalWidth")
    assert by_id(browser, "legend").size["height"] > 40
    select(browser, "strength", 30)
    wait(browser, "document.querySelector('#right .overlay').style.opacity === '0.3'")
    assert complaints(browser) == []


def test_of_samples_drawn_one_by_one_the_page_finds_the_two_that_differ_most(browser, fake, photo):
    draw(browser, fake, photo)
    for seed in (1, 2):
        by_id(browser, "another").click()
        wait(browser, f"document.querySelectorAll('#files li').length === {seed + 1}")
        until_done(browser)
    browser.execute_script("document.querySelector('[name=view][value=beside]').click()")
    wait(browser, "document.querySelectorAll('.pane.apart').length === 2")
    captions = "return [...document.querySelectorAll('.pane figcaption')].map((one) => one.textContent[7])"
    assert browser.execute_script(captions) == ["1", "3", "2"]  # each is turned by three degrees more
    assert complaints(browser) == []
