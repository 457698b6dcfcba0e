"""The page of `sr3 web` when something is wrong: a clear line says it, and the page recovers by itself."""

import pytest
from driving import TIMES, by_id, choose, complaints, drop, enlarge, select, text, until_done, visit, wait
from PIL import Image

import chromium
from pictures import smooth

chromium.need("selenium.webdriver")

pytestmark = pytest.mark.browser

FAILED = "!document.getElementById('trouble').hidden"
GONE = "No connection to the server. The page continues by itself when the server is back."


def refused(browser, status):
    """The console notes every refused request; it must note nothing else."""
    return [entry for entry in complaints(browser) if f"status of {status}" not in entry["message"]]


def test_a_broken_file_is_refused_in_one_line_and_the_next_picture_works(browser, fake, photo, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    visit(browser, fake.url)
    drop(browser, broken)
    wait(browser, "!document.getElementById('unseen').hidden")
    assert text(browser, "unseen").startswith("The browser cannot show broken.png by itself.")
    by_id(browser, "enlarge").click()
    wait(browser, FAILED)
    assert text(browser, "trouble") == "broken.png: not an image that sr3 reads; convert it to PNG"
    drop(browser, photo)
    assert not by_id(browser, "trouble").is_displayed()
    enlarge(browser)
    until_done(browser)
    assert refused(browser, 415) == []


def test_a_picture_over_the_pixel_limit_is_refused_in_one_line(browser, fake, tmp_path):
    large = tmp_path / "large.png"
    Image.new("RGB", (1200, 1000)).save(large)
    visit(browser, fake.url)
    assert "Files up to 10 MB, results up to 1 megapixel." in text(browser, "limits")
    drop(browser, large)
    wait(browser, "document.getElementById('size-text').classList.contains('trouble')")
    line = f"1200 {TIMES} 1000 becomes 4800 {TIMES} 4000: 19 megapixels, and the limit is 1 megapixel"
    assert text(browser, "size-text") == line
    by_id(browser, "enlarge").click()
    wait(browser, FAILED)
    assert text(browser, "trouble") == "large.png: more than 1 megapixels; reduce it, or use sr3 upscale"
    assert refused(browser, 413) == []


def test_a_file_of_more_bytes_than_the_limit_is_not_even_sent(browser, fake, photo, tmp_path):
    huge = tmp_path / "huge.tif"
    with huge.open("wb") as file:
        file.truncate(4_000_000_000)
    visit(browser, fake.url)
    by_id(browser, "files-input").send_keys(f"{huge}\n{photo}")
    wait(browser, "!document.getElementById('notice').hidden")
    assert text(browser, "notice") == "huge.tif has 4.0 GB; the limit is 10 MB: reduce it, or use sr3 upscale."
    assert "photo.png" in text(browser, "tray")
    assert "huge.tif" not in text(browser, "tray")
    assert complaints(browser) == []


def test_a_setting_out_of_range_is_named_and_nothing_is_sent(browser, fake, photo):
    visit(browser, fake.url)
    drop(browser, photo)
    select(browser, "samples", 99)
    by_id(browser, "enlarge").click()
    wait(browser, "!document.getElementById('settings-trouble').hidden")
    assert text(browser, "settings-trouble").startswith("Samples: ")
    assert browser.switch_to.active_element.get_attribute("id") == "samples"
    assert fake.jobs == {}


def test_a_full_queue_is_said_and_the_picture_goes_in_when_there_is_room(browser, fake, photo):
    fake.full = True
    visit(browser, fake.url)
    drop(browser, photo)
    enlarge(browser)
    line = "the queue is full: 8 pictures wait. Trying again automatically."
    wait(browser, f"document.getElementById('progress-text').textContent === '{line}'")
    fake.full = False
    until_done(browser)
    assert refused(browser, 429) == []


def test_who_stops_while_the_queue_is_full_stops_waiting(browser, fake, photo):
    fake.full = True
    visit(browser, fake.url)
    drop(browser, photo)
    enlarge(browser)
    wait(browser, "document.getElementById('progress-text').textContent.includes('Trying again')")
    by_id(browser, "stop").click()
    wait(browser, "document.getElementById('running').hidden")
    assert "Stopped" in text(browser, "tray")


def test_work_that_a_lost_server_forgot_is_sent_again_by_itself(browser, fake, photo):
    fake.step_seconds = 0.4
    visit(browser, fake.url)
    drop(browser, photo)
    select(browser, "model", "fine")
    enlarge(browser)
    wait(browser, "document.querySelector('#right .picture')")
    fake.stop()
    wait(browser, "!document.getElementById('notice').hidden")
    assert text(browser, "notice") == GONE
    fake.step_seconds = 0.02
    fake.start()
    wait(browser, "document.getElementById('notice').hidden")
    until_done(browser)
    assert [job.state for job in fake.jobs.values()] == ["done"]


def test_a_stream_that_is_cut_goes_on_where_it_was(browser, fake, photo):
    fake.step_seconds = 0.5
    visit(browser, fake.url)
    drop(browser, photo)
    select(browser, "model", "fine")
    select(browser, "steps", 16)
    enlarge(browser)
    wait(browser, "document.querySelector('#right .picture')")
    offline = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    browser.execute_cdp_cmd("Network.enable", {})
    browser.execute_cdp_cmd("Network.emulateNetworkConditions", {"offline": True, **offline})
    wait(browser, "!document.getElementById('notice').hidden")
    browser.execute_cdp_cmd("Network.emulateNetworkConditions", {"offline": False, **offline})
    until_done(browser)
    assert len(fake.jobs) == 1
    assert not by_id(browser, "notice").is_displayed()


def test_a_page_that_is_idle_notices_that_the_server_is_gone_and_back_and_what_it_lost(browser, fake, photo):
    visit(browser, fake.url)
    drop(browser, photo)
    enlarge(browser)
    until_done(browser)
    fake.stop()
    wait(browser, "!document.getElementById('notice').hidden")
    fake.start()
    wait(browser, "document.getElementById('notice').hidden")
    by_id(browser, "save").click()
    wait(browser, "!document.getElementById('notice').hidden")
    assert "the server no longer has it; press Enlarge to draw it again." in text(browser, "notice")
    enlarge(browser)
    until_done(browser)
    assert not by_id(browser, "notice").is_displayed()


def test_a_closed_page_lets_go_of_its_pictures(browser, fake, photo):
    visit(browser, fake.url)
    drop(browser, photo)
    enlarge(browser)
    until_done(browser)
    browser.get("about:blank")
    for _ in range(100):
        if not fake.jobs:
            break
        browser.execute_async_script("setTimeout(arguments[0], 20)")
    assert fake.jobs == {}


def test_files_that_the_browser_cannot_show_are_seen_once_the_server_has_read_them(browser, fake, tmp_path):
    path = tmp_path / "scan.tif"
    Image.fromarray(smooth(30, 40)).save(path)
    visit(browser, fake.url)
    choose(browser, path)
    wait(browser, "!document.getElementById('unseen').hidden")
    enlarge(browser)
    until_done(browser)
    wait(browser, "document.querySelector('#left .picture')?.naturalWidth === 160")
    assert not by_id(browser, "unseen").is_displayed()
