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
    started = []

    def start(*, phone: bool = False):
        driver = launch(tmp_path / f"browser-{len(started)}", phone=phone)
        save_into(driver, tmp_path / f"saved-{len(started)}")
        started.append(driver)
        return driver

    yield start
    for driver in started:
        driver.quit()


@pytest.fixture(scope="session")
def shared_browser(tmp_path_factory):
    driver = launch(tmp_path_factory.mktemp("browser"))
    yield driver
    driver.quit()


@pytest.fixture
def browser(request, tmp_path):
    """A browser for one test: a new tab of one that has been started, or a telephone."""
    if getattr(request, "param", "") == "phone":
        return request.getfixturevalue("start_browser")(phone=True)
    driver = request.getfixturevalue("shared_browser")
    before = driver.window_handles
    driver.switch_to.new_window("tab")  # what a test emulates ends with its tab
    own = driver.current_window_handle
    for tab in before:
        driver.switch_to.window(tab)
        driver.close()
    driver.switch_to.window(own)
    driver.get_log("browser")  # reading empties it
    save_into(driver, tmp_path / "saved")
    return driver


def launch(folder, *, phone: bool = False):
    chromium.need("selenium.webdriver")
    chromium.need_browser()
    from selenium import webdriver

    options = chromium.options(folder)
    options.add_argument("--window-size=1280,900")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    if phone:
        options.add_experimental_option("mobileEmulation", {"deviceMetrics": PHONE})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(chromium.DRIVER))


def save_into(driver, folder):
    """Let a browser save files in a folder, without asking."""
    folder.mkdir()
    driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder)})
    driver.saved = folder
