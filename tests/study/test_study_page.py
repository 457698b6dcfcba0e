"""The page in a real browser: how long pictures are seen, also among many subjects, keys, touch, and loading again.

Skipped where there is no Chromium with its driver, unless SR3_TEST_BROWSER is `required`, as it is in continuous
integration: then they fail.
"""

import asyncio
import random
import sqlite3
import ssl
import threading
import time
from collections import Counter
from itertools import groupby, pairwise
from statistics import median

import httpx
import pytest
import uvicorn

import chromium
from serving import Serving
from sr3.study.figures import figures
from sr3.study.server import open_server
from sr3.study.store import read_records
from studies import make_study, nonce

chromium.need("selenium.webdriver")
from selenium import webdriver  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

pytestmark = pytest.mark.browser

EXPOSURE, FRAME = 0.4, 1 / 60
SETTINGS = f"exposure = {EXPOSURE}\nexposure_tolerance = 0.1"

# Notes, frame by frame and without the page's own clock, when pictures can be seen.
WATCH = """
window.seen = [];
const watch = (now) => {
  const images = [...document.querySelectorAll("#plates img")];
  const visible = images.filter((image) => getComputedStyle(image).visibility === "visible");
  const whole = visible.every((image) => image.complete && image.naturalWidth === 64);
  window.seen.push([now, visible.length, whole]);
  requestAnimationFrame(watch);
};
requestAnimationFrame(watch);
"""


class Thread:
    """A study served from this process; `stop` and `start` are what a restart is to the page."""

    def __init__(self, config):
        self.config, self.port = config, 0
        self.start()

    def start(self):
        server = open_server(self.config, host="127.0.0.1", port=self.port)
        self.url, self.port = server.url, server.listener.getsockname()[1]
        self.server = uvicorn.Server(uvicorn.Config(server.app, log_level="error", lifespan="off"))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [server.listener]})
        self.thread.start()

    def stop(self):
        self.server.should_exit = True
        self.thread.join()


@pytest.fixture
def served(tmp_path):
    thread = Thread(make_study(tmp_path, settings=SETTINGS, attention="checks = 1", pairs=4))
    yield thread
    thread.stop()


@pytest.fixture
def browser(tmp_path, request):
    chromium.need_browser()
    options = chromium.options(tmp_path / "browser")
    for option in ("--hide-scrollbars", "--window-size=1200,900"):
        options.add_argument(option)
    if getattr(request, "param", "") == "phone":
        metrics = {"width": 360, "height": 740, "pixelRatio": 2.0, "touch": True}
        options.add_experimental_option("mobileEmulation", {"deviceMetrics": metrics})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(chromium.DRIVER))
    driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH})
    yield driver
    driver.quit()


def wait(browser, condition):
    """Wait until an expression of the page holds."""
    end = time.monotonic() + 60
    while not browser.execute_script(f"return Boolean({condition})"):
        assert time.monotonic() < end, f"the page did not come to: {condition}"
        time.sleep(0.01)


def begin(browser, url):
    browser.get(url)
    wait(browser, "!document.getElementById('consent').hidden")
    browser.find_element(By.ID, "agree").click()
    wait(browser, "!document.getElementById('ready').hidden")
    browser.find_element(By.ID, "start").click()


def until_choice(browser):
    wait(browser, "document.querySelector('.choosing') && !document.getElementById('first').disabled")


def press(browser, key):
    browser.find_element(By.TAG_NAME, "body").send_keys(key)


def count(browser):
    return browser.find_element(By.ID, "count").text


def stored(config):
    return [record.answer for record in read_records(config.database) if record.answer]


def sit(browser, pairs=5):
    """Answer all pairs; returns for how many seconds each was seen, frame by frame, and which were chosen."""
    seen, choices = [], []
    for number in range(pairs):
        until_choice(browser)
        assert count(browser) == f"{number + 1} of {pairs}"
        assert browser.execute_script("return document.querySelectorAll('img').length") == 0
        frames = browser.execute_script("const all = window.seen; window.seen = []; return all")
        edges = [(b[0], b[1]) for a, b in pairwise(frames) if bool(a[1]) != bool(b[1])]
        assert [shown for _, shown in edges] == [3, 0]  # all three come in one frame, and all go in one
        assert all(whole for _, shown, whole in frames if shown)
        seen.append((edges[1][0] - edges[0][0]) / 1000)
        choices.append("second" if number % 3 else "first")
        press(browser, Keys.ARROW_RIGHT if number % 3 else Keys.ARROW_LEFT)
        wait(browser, "!document.querySelector('.choosing')")
    wait(browser, "!document.getElementById('done').hidden")
    return seen, choices


@pytest.mark.timed
def test_pictures_are_seen_for_the_time_set_and_then_never_again(served, browser):
    begin(browser, served.url)
    seen, choices = sit(browser)
    answers = stored(served.config)
    assert [answer.choice for answer in answers] == choices
    for answer, watched in zip(answers, seen, strict=True):
        assert answer.exposure == pytest.approx(watched, abs=2 * FRAME)
        assert (answer.layout, answer.width, answer.density) == ("row", 64.0, 1.0)
    assert median(seen) == pytest.approx(EXPOSURE, abs=2 * FRAME)
    assert max(seen) < EXPOSURE + 0.1  # a busy machine may lose frames, the report then leaves an answer out


class Crowd:
    """Subjects without a page, who look at the pictures and answer at a person's pace, all at once, in a thread."""

    def __init__(self, url, subjects):
        self.url, self.subjects, self.given = url, subjects, []
        self.measured = {"exposure": EXPOSURE, "frame": FRAME, "layout": "row", "width": 64.0, "density": 1.0}
        self.thread = threading.Thread(target=lambda: asyncio.run(self._all_at_once()))
        self.thread.start()

    async def _all_at_once(self):
        context = ssl.create_default_context()
        sessions = (self._sit(random.Random(number), context) for number in range(self.subjects))
        self.given = await asyncio.gather(*sessions, return_exceptions=True)

    async def _sit(self, chance, context):
        """Take the study as the page does, and send some answers twice; returns the choices."""
        choices = []
        async with httpx.AsyncClient(base_url=self.url, verify=context, trust_env=False, timeout=60) as client:
            state = (await client.post("api/consent", json={"nonce": nonce()})).json()
            while state["stage"] == "trial":
                pair = f"api/pairs/{state['pair']['id']}"
                for slot in ("first", "second", *["middle"] * state["pair"]["middle"]):
                    (await client.get(f"{pair}/{slot}")).raise_for_status()
                (await client.post(f"{pair}/view", json={"nonce": nonce()})).raise_for_status()
                response = chance.uniform(0.3, 1)
                await asyncio.sleep(EXPOSURE + response)
                choices.append(chance.choice(("first", "second")))
                body = {"choice": choices[-1], "response": response, **self.measured}
                for _ in range(chance.choice((1, 1, 2))):
                    state = (await client.post(f"{pair}/answer", json=body)).raise_for_status().json()
            assert state["stage"] == "done"
        return choices


@pytest.mark.timed
def test_among_fifty_subjects_at_once_the_page_shows_pictures_as_long_and_no_answer_is_lost(tmp_path, browser):
    config = make_study(tmp_path, settings=SETTINGS, attention="checks = 1", pairs=4)
    with Serving(tmp_path / "study.toml") as server:
        begin(browser, server.url)  # so the page's subject is the first
        crowd = Crowd(server.url, 49)
        try:
            seen, choices = sit(browser)
        finally:
            crowd.thread.join()
    assert [given for given in crowd.given if isinstance(given, BaseException)] == []
    assert median(seen) == pytest.approx(EXPOSURE, abs=2 * FRAME)
    records = read_records(config.database)
    own, *others = (list(session) for _, session in groupby(records, key=lambda record: record.subject))
    assert [record.answer.choice for record in own] == choices
    for record, watched in zip(own, seen, strict=True):
        assert record.answer.exposure == pytest.approx(watched, abs=2 * FRAME)
        assert record.answer.exposure == pytest.approx(EXPOSURE, abs=config.exposure_tolerance)
    assert len(others) == 49
    assert Counter(tuple(record.answer.choice for record in session) for session in others) == Counter(
        map(tuple, crowd.given)
    )
    assert all(len(session) == 5 and all(record.views == 1 for record in session) for session in (own, *others))
    assert sum(figures(config, records).answers_left_out.values()) == 0
    first, last = own[0].answered, own[-1].answered
    assert sum(first < record.answered < last for session in others for record in session) > 49  # they were at it


def test_keys_before_the_choice_do_nothing_and_loading_again_goes_on_with_the_same_pair(served, browser):
    begin(browser, served.url)
    until_choice(browser)
    press(browser, Keys.ARROW_LEFT)
    wait(browser, "document.querySelector('.exposed')")
    press(browser, Keys.ARROW_LEFT)
    press(browser, "x")
    assert len(stored(served.config)) == 1
    browser.refresh()
    wait(browser, "!document.getElementById('ready').hidden")
    assert browser.find_element(By.ID, "start").text == "Continue with pair 2 of 5"
    browser.find_element(By.ID, "start").click()
    until_choice(browser)
    assert count(browser) == "2 of 5"
    press(browser, Keys.ARROW_RIGHT)
    wait(browser, "document.getElementById('count').textContent === '3 of 5'")
    records = read_records(served.config.database)
    assert [record.answer.choice for record in records[:2]] == ["first", "second"]
    assert [record.views for record in records[:2]] == [1, 2]  # the report leaves the second out


def test_a_choice_made_while_the_server_is_gone_arrives_when_it_is_back(served, browser):
    begin(browser, served.url)
    until_choice(browser)
    served.stop()
    press(browser, Keys.ARROW_RIGHT)
    wait(browser, "document.getElementById('status').textContent.startsWith('No connection')")
    assert stored(served.config) == []
    served.start()
    wait(browser, "document.getElementById('count').textContent === '2 of 5'")
    assert [answer.choice for answer in stored(served.config)] == ["second"]
    assert browser.find_element(By.ID, "status").text == ""


@pytest.mark.parametrize("browser", ["phone"], indirect=True)
def test_on_a_phone_pictures_stand_one_above_the_other_and_are_chosen_by_touch(served, browser):
    begin(browser, served.url)
    until_choice(browser)
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    first, middle, second = (browser.find_element(By.ID, name).rect for name in ("first", "middle", "second"))
    assert first["y"] + first["height"] <= middle["y"]
    assert middle["y"] + middle["height"] <= second["y"]
    assert second["y"] + second["height"] <= 740
    upper, lower = (browser.find_element(By.ID, name) for name in ("first", "second"))
    assert [plate.accessible_name for plate in (upper, lower)] == ["Upper image", "Lower image"]
    lower.click()
    wait(browser, "document.getElementById('count').textContent === '2 of 5'")
    answer = stored(served.config)[0]
    assert (answer.choice, answer.layout, answer.density) == ("second", "column", 2.0)


def test_who_stops_has_the_answers_deleted(served, browser):
    begin(browser, served.url)
    until_choice(browser)
    press(browser, Keys.ARROW_RIGHT)
    wait(browser, "document.getElementById('count').textContent === '2 of 5'")
    until_choice(browser)
    browser.find_element(By.ID, "withdraw").click()
    browser.find_element(By.CSS_SELECTOR, "#sure [value=leave]").click()
    wait(browser, "!document.getElementById('done').hidden")
    assert browser.find_element(By.ID, "done-title").text == "Your answers have been deleted"
    assert read_records(served.config.database) == []
    database = sqlite3.connect(served.config.database)
    assert database.execute("SELECT COUNT(*) FROM answers").fetchone() == (0,)
    database.close()
