"""The page of `sr3 web` in a real browser: a picture in, refined, compared, stopped and saved."""

import time

import pytest
from driving import (
    PASTE,
    TIMES,
    by_id,
    choose,
    complaints,
    draw,
    drop,
    enlarge,
    page_text,
    saved,
    select,
    text,
    until_done,
    visit,
    wait,
)
from PIL import Image

import chromium
from pictures import smooth

chromium.need("selenium.webdriver")

pytestmark = pytest.mark.browser


@pytest.fixture
def many(tmp_path):
    paths = [tmp_path / f"{name}.png" for name in ("one", "two", "three")]
    for seed, path in enumerate(paths):
        Image.fromarray(smooth(40, 60, seed=seed)).save(path)
    return paths


@pytest.mark.parametrize("way", ["drop", "paste", "choose"])
def test_a_picture_is_dropped_pasted_or_chosen_and_shown_with_the_size_it_will_have(browser, fake, photo, way):
    visit(browser, fake.url)
    assert by_id(browser, "drop").is_displayed()
    if way == "choose":
        choose(browser, photo)
    else:
        drop(browser, photo, **({"script": PASTE} if way == "paste" else {}))
    wait(browser, "document.querySelector('#left .picture')?.naturalWidth === 120")
    assert not by_id(browser, "drop").is_displayed()
    assert text(browser, "size-text") == f"120 {TIMES} 90 becomes 480 {TIMES} 360"
    select(browser, "size-kind", "long_side")
    select(browser, "size", 240)
    wait(browser, f"document.getElementById('size-text').textContent === '120 {TIMES} 90 becomes 240 {TIMES} 180'")
    assert complaints(browser) == []


def test_the_picture_sharpens_by_previews_with_the_time_left_and_the_result_comes_last(browser, fake, photo):
    fake.step_seconds = 0.25
    visit(browser, fake.url)
    drop(browser, photo)
    select(browser, "model", "fine")
    enlarge(browser)
    captions, times = set(), set()
    while by_id(browser, "running").is_displayed():
        captions.add(browser.execute_script("return document.querySelector('#right figcaption').textContent"))
        times.add(text(browser, "progress-text").rpartition("· ")[2])
    steps = {f"Step {step} of 8" for step in range(1, 8)}
    assert len(captions & steps) > 4
    assert {"about 2 s left", "about 1 s left"} <= times
    until_done(browser)
    wait(browser, "document.querySelector('#right .picture').src.endsWith('/view')")
    assert text(browser, "command") == "sr3 upscale photo.png --model fine --steps 8 --samples 1 --seed 0"
    assert complaints(browser) == []


def test_settings_left_at_their_defaults_are_not_sent_and_others_have_the_names_of_the_command(browser, fake, photo):
    draw(browser, fake, photo)
    assert set(next(iter(fake.jobs.values())).settings) == {"model", "steps", "samples", "seed"}
    changed = {"model": "fine", "steps": 4, "detail": 0.5, "seed": 7, "samples": 2, "format": "tif"}
    for name, value in changed.items():
        select(browser, name, value)
    select(browser, "size-kind", "width")
    select(browser, "size", 300)
    enlarge(browser)
    until_done(browser)
    (job,) = fake.jobs.values()
    assert job.settings == changed | {"width": 300}


def test_stop_ends_the_work_within_a_step(browser, fake, photo):
    fake.step_seconds = 0.5
    visit(browser, fake.url)
    drop(browser, photo)
    select(browser, "model", "fine")
    select(browser, "steps", 16)
    select(browser, "samples", 2)
    enlarge(browser)
    wait(browser, "document.querySelector('#right .picture')")
    by_id(browser, "stop").click()
    pressed = time.monotonic()
    wait(browser, "document.getElementById('running').hidden")
    assert time.monotonic() - pressed < 2
    (job,) = fake.jobs.values()
    assert job.state == "stopped"
    assert "Stopped" in text(browser, "tray")
    assert by_id(browser, "enlarge").is_enabled()
    assert complaints(browser) == []


def test_another_sample_draws_the_next_seed_and_keeps_the_first(browser, fake, photo):
    draw(browser, fake, photo)
    for seed in (1, 2):
        by_id(browser, "another").click()
        wait(browser, f"document.querySelectorAll('#files li').length === {seed + 1}")
        until_done(browser)
        caption = browser.execute_script("return document.querySelector('#right figcaption').textContent")
        assert caption == f"Sample {seed + 1} · seed {seed}"
    assert [job.settings["seed"] for job in fake.jobs.values()] == [0, 1, 2]
    by_id(browser, "enlarge").click()  # afresh: what was there is let go, here and on the server
    wait(browser, "document.getElementById('files-box').hidden")
    until_done(browser)
    assert len(fake.forgotten) == 3


def test_saving_gives_the_very_bytes_of_the_server_and_a_name(browser, fake, photo):
    draw(browser, fake, photo, samples=2)
    find = "return [...document.querySelectorAll('#right-choice option')].find((one) => one.text.includes('Sample 2'))"
    select(browser, "right-choice", browser.execute_script(f"{find}.value"))
    wait(browser, "document.getElementById('saved-name').textContent.startsWith('photo-2.png')")
    by_id(browser, "save").click()
    (job,) = fake.jobs.values()
    assert saved(browser) == {"photo-2.png": job.files["photo-2.png"]}
    assert complaints(browser) == []


def test_many_pictures_are_drawn_one_after_the_other_and_each_can_be_looked_at(browser, fake, many):
    fake.step_seconds = 0.3
    visit(browser, fake.url)
    choose(browser, *many)
    by_id(browser, "enlarge-all").click()
    wait(browser, "document.getElementById('tray').innerText.includes('Waiting for the previous picture')")
    wait(browser, f"[...document.querySelectorAll('#tray small')].every((e) => e.textContent === '240 {TIMES} 160')")
    assert [job.name for job in fake.jobs.values()] == ["one.png", "two.png", "three.png"]
    browser.execute_script("document.querySelectorAll('#tray .item')[2].click()")
    wait(browser, "document.getElementById('saved-name').textContent.startsWith('three-')")
    assert by_id(browser, "save-all").is_displayed()
    browser.execute_script("document.querySelectorAll('#tray .remove')[2].click()")
    wait(browser, "document.querySelectorAll('#tray li').length === 2")
    assert len(fake.jobs) == 2
    assert complaints(browser) == []


def test_only_pictures_that_are_shown_are_kept(browser, fake, many):
    visit(browser, fake.url)
    made = "window.made = 0; const make = URL.createObjectURL, free = URL.revokeObjectURL;"
    made += "URL.createObjectURL = (file) => (window.made++, make.call(URL, file));"
    browser.execute_script(made + "URL.revokeObjectURL = (url) => (window.made--, free.call(URL, url));")
    choose(browser, *many)
    for number in (1, 2, 0):
        browser.execute_script("document.querySelectorAll('#tray .item')[arguments[0]].click()", number)
        time.sleep(0.2)
    assert browser.execute_script("return window.made") == 0
    assert browser.execute_script("return document.querySelectorAll('img').length") == 1


def test_two_browsers_at_once_have_pictures_of_their_own_and_see_their_place_in_the_queue(
    browser, start_browser, fake, many
):
    fake.step_seconds = 0.5
    first, second = browser, start_browser()
    for page, path in ((first, many[0]), (second, many[1])):
        visit(page, fake.url)
        drop(page, path)
        select(page, "model", "fine")
    enlarge(first)
    wait(first, "document.querySelector('#right .picture')")
    enlarge(second)
    wait(second, "document.getElementById('progress-text').textContent.startsWith('Waiting: ')")
    until_done(first)
    until_done(second)
    assert len(set(fake.sessions)) == 2
    for page, path in ((first, many[0]), (second, many[1])):
        assert path.stem in text(page, "saved-name")
        assert complaints(page) == [], page_text(page)
