"""A real browser, whose console must stay empty, and a stand-in for the server."""

import pytest
from fake_server import Fake
from PIL import Image

import chromium
from pictures import smooth

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
    chromium.need("selenium.webdriver")
    chromium.need_browser()
    from selenium import webdriver

    started = []

    def start(*, phone: bool = False):
        folder = tmp_path / f"browser-{len(started)}"
        options = chromium.options(folder)
        options.add_argument("--window-size=1280,900")
        saved = folder / "saved"
        saved.mkdir(parents=True)
        options.add_experimental_option("prefs", {"download.default_directory": str(saved)})
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        if phone:
            options.add_experimental_option("mobileEmulation", {"deviceMetrics": PHONE})
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(chromium.DRIVER))
        driver.saved = saved
        started.append(driver)
        return driver

    yield start
    for driver in started:
        driver.quit()


@pytest.fixture
def browser(start_browser, request):
    return start_browser(phone=getattr(request, "param", "") == "phone")
