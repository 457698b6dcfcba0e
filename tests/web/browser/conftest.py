"""A real browser, whose console must stay empty, and a stand-in for the server."""

import os
import shutil

import pytest
from fake_server import Fake
from PIL import Image

from pictures import smooth

REQUIRED = os.environ.get("SR3_TEST_BROWSER") == "required"
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,900",
)
PHONE = {"width": 360, "height": 740, "pixelRatio": 2.0, "touch": True}


@pytest.fixture
def fake():
    server = Fake()
    yield server
    server.stop()


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(smooth(90, 120)).save(path)
    return path


@pytest.fixture
def start_browser(tmp_path):
    """Start browsers, each with a folder of its own for what it saves; they end with the test."""
    if not REQUIRED:
        pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
        if BROWSER is None or DRIVER is None:
            pytest.skip("there is no chromium with chromedriver here")
    if BROWSER is None or DRIVER is None:
        pytest.fail("SR3_TEST_BROWSER is required, but there is no chromium with chromedriver; install both")
    from selenium import webdriver

    started = []

    def start(*, phone: bool = False):
        folder = tmp_path / f"browser-{len(started)}"
        options = webdriver.ChromeOptions()
        options.binary_location = BROWSER
        for option in (*OPTIONS, f"--user-data-dir={folder}"):
            options.add_argument(option)
        saved = folder / "saved"
        saved.mkdir(parents=True)
        options.add_experimental_option("prefs", {"download.default_directory": str(saved)})
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        if phone:
            options.add_experimental_option("mobileEmulation", {"deviceMetrics": PHONE})
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
        driver.saved = saved
        started.append(driver)
        return driver

    yield start
    for driver in started:
        driver.quit()


@pytest.fixture
def browser(start_browser, request):
    return start_browser(phone=getattr(request, "param", "") == "phone")
