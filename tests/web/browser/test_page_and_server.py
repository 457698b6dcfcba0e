"""The page and the server of `sr3 web` together, with small models: from a dropped file to saved bytes."""

import io
import shlex
import time

import httpx
import numpy as np
import pytest
import tifffile
from driving import (
    PASTE,
    by_id,
    choose,
    complaints,
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
from sr3.cli.app import run as sr3

chromium.need("selenium.webdriver")
chromium.need("python_multipart")
from web_servers import STEPS, WebProcess, write_models  # noqa: E402

pytestmark = pytest.mark.browser

FAILED = "!document.getElementById('trouble').hidden"


@pytest.fixture
def models(tmp_path):
    return [word for path in write_models(tmp_path) for word in ("--model", path)]


@pytest.fixture
def serve(tmp_path, models):
    """Start the server, by default at any free port; it ends with the test."""
    started = []

    def start(*options):
        started.append(WebProcess(*models, *options, folder=tmp_path))
        return started[-1]

    yield start
    for server in started:
        if server.process.poll() is None:
            server.end()


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(smooth(24, 32)).save(path, dpi=(300, 300))
    return path


@pytest.fixture
def large(tmp_path):
    """Large enough to take its time."""
    path = tmp_path / "large.png"
    Image.fromarray(smooth(120, 160)).save(path)
    return path


def run_again(command, source, folder):
    """Run the command that the page shows, on the file; gives what it writes."""
    words = shlex.split(command)
    assert words[:2] == ["sr3", "upscale"]
    place = folder / "again"
    place.mkdir()
    (place / source.name).write_bytes(source.read_bytes())
    words = [str(folder / word) if word.endswith(".safetensors") else word for word in words]
    assert sr3([word if word != source.name else str(place / word) for word in words[1:]]) == 0
    return {path.name: path.read_bytes() for path in place.iterdir()}


def test_a_dropped_picture_is_refined_and_saved_as_the_command_that_is_shown_writes_it(serve, browser, photo, tmp_path):
    visit(browser, serve().url)
    drop(browser, photo)
    select(browser, "seed", 5)
    select(browser, "samples", 3)
    enlarge(browser)
    until_done(browser)
    wait(browser, "document.querySelector('#right .picture')?.naturalWidth === 128")
    assert text(browser, "about-now").startswith("These are 3 samples of many.")
    by_id(browser, "overlay").click()
    wait(browser, "document.querySelector('#legend img')?.naturalWidth && document.querySelector('#right .overlay')")
    browser.execute_script("document.querySelector('[name=view][value=beside]').click()")
    wait(browser, "document.querySelectorAll('.pane .picture').length === 5")
    assert browser.execute_script("return document.querySelectorAll('.pane.apart').length") == 2
    by_id(browser, "save").click()
    ((name, content),) = saved(browser).items()
    assert name == "photo-x4-1.png"
    assert content == run_again(text(browser, "command"), photo, tmp_path)[name]
    assert complaints(browser) == []


def test_sixteen_bits_stay_sixteen_bits(serve, browser, tmp_path):
    path = tmp_path / "scan.tif"
    tifffile.imwrite(path, smooth(24, 32).astype(np.uint16) * 257, photometric="rgb")
    visit(browser, serve().url)
    drop(browser, path, script=PASTE)
    enlarge(browser)
    until_done(browser)
    wait(browser, "document.querySelector('#left .picture')?.naturalWidth === 128")  # which the browser cannot read
    by_id(browser, "save").click()
    ((name, content),) = saved(browser).items()
    assert name.endswith(".tif")
    assert tifffile.imread(io.BytesIO(content)).dtype == np.uint16
    assert content == run_again(text(browser, "command"), path, tmp_path)[name]
    assert complaints(browser) == []


def test_previews_come_step_by_step_and_stop_ends_within_one(serve, browser, large):
    visit(browser, serve().url)
    drop(browser, large)
    select(browser, "samples", 16)
    enlarge(browser)
    wait(browser, "document.querySelector('#right .picture')")
    wait(
        browser,
        f"/step [1-{STEPS}] of {STEPS} · about .* left/.test(document.getElementById('progress-text').innerText)",
    )
    by_id(browser, "stop").click()
    wait(browser, "document.getElementById('running').hidden", seconds=10)
    assert "Stopped" in text(browser, "tray")
    assert complaints(browser) == []


def test_two_browsers_at_once_take_turns_and_each_gets_its_own(serve, browser, start_browser, large, photo):
    server = serve()
    first, second = browser, start_browser()
    for page, path in ((first, large), (second, photo)):
        visit(page, server.url)
        drop(page, path)
    select(first, "samples", 2)
    enlarge(first)
    wait(first, "document.querySelector('#right .picture')")
    enlarge(second)
    wait(second, "document.getElementById('progress-text').textContent === 'Waiting: next in line'")
    until_done(second)
    until_done(first)
    for page, path in ((first, large), (second, photo)):
        assert text(page, "saved-name").startswith(path.stem)
        assert complaints(page) == [], page_text(page)


def test_what_the_command_line_refuses_is_refused_in_one_line(serve, browser, photo, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(photo.read_bytes()[:200])
    words = tmp_path / "words.txt"
    words.write_text("not a picture")
    huge = tmp_path / "huge.png"
    Image.new("L", (10_000, 6_000)).save(huge)
    visit(browser, serve().url)
    for path in (broken, words, huge):
        choose(browser, path)
        wait(browser, f"document.querySelector('#tray [aria-current=true] b').textContent === '{path.name}'")
        by_id(browser, "enlarge").click()
        wait(browser, FAILED)
        line = text(browser, "trouble")
        assert "\n" not in line
        assert path.name in line
        assert str(tmp_path) not in line
    assert all("status of 4" in entry["message"] for entry in complaints(browser))
    drop(browser, photo)
    enlarge(browser)
    until_done(browser)


def jobs_of(browser):
    """The names of the jobs of a page, from the addresses of its pictures."""
    script = "return performance.getEntriesByType('resource').map((entry) => entry.name)"
    names = browser.execute_script(script)
    return {name.split("/jobs/")[1].split("/")[0] for name in names if "/jobs/" in name}


def test_a_closed_tab_ends_its_work_and_frees_its_files(serve, browser, large):
    server = serve()
    visit(browser, server.url)
    drop(browser, large)
    select(browser, "samples", 16)
    enlarge(browser)
    wait(browser, "document.querySelector('#right .picture')")
    (job,) = jobs_of(browser)
    browser.get("about:blank")
    end = time.monotonic() + 15
    while httpx.get(f"{server.url}api/jobs/{job}", trust_env=False).status_code != 404:
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_server_that_comes_back_gets_the_picture_again_by_itself(serve, browser, large):
    server = serve()
    port = server.url.rstrip("/").rpartition(":")[2]
    visit(browser, server.url)
    drop(browser, large)
    enlarge(browser)
    wait(browser, "document.querySelector('#right .picture')")
    server.end()
    wait(browser, "!document.getElementById('notice').hidden")
    serve("--port", port)
    wait(browser, "document.getElementById('notice').hidden")
    until_done(browser)
    assert text(browser, "saved-name").startswith("large-x4.png")


def test_with_a_token_the_printed_address_opens_the_page_and_all_of_it_works(serve, browser, photo):
    server = serve("--token", "a-token-for-tests")
    assert server.url.endswith("?token=a-token-for-tests")
    visit(browser, server.url)
    assert "token" not in browser.current_url
    drop(browser, photo)
    enlarge(browser)
    until_done(browser)
    wait(browser, "document.querySelector('#right .picture')?.naturalWidth === 128")
    by_id(browser, "save").click()
    assert list(saved(browser)) == ["photo-x4.png"]
    assert complaints(browser) == []


def test_the_description_of_the_api_keeps_the_policy_too(serve, browser):
    browser.get(f"{serve().url}docs")
    assert "/api/jobs" in browser.find_element("tag name", "body").text
    assert complaints(browser) == []
