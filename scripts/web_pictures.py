"""Pictures of the page of `sr3 web` for docs/how-to/web.md: light and dark, wide and narrow.

Needs Chromium with its driver, and selenium. Starts the server, enlarges an image of examples/ in four samples with the
default model, and writes docs/images/web-*.jpg.
"""

import io
import shutil
import subprocess
import sys
import time
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By

ROOT = Path(__file__).parents[1]
PHOTO, OUT = ROOT / "examples" / "noodles.png", ROOT / "docs" / "images"
SIZES = {"wide": (1280, 1040), "narrow": (360, 780)}
SCHEMES = ("light", "dark")
SECONDS = 180
DONE = "!document.getElementById('done').hidden && document.getElementById('running').hidden"
COVERED = "document.querySelector('#legend img')?.complete && document.querySelector('#right .overlay')?.complete"


def wait(browser: webdriver.Chrome, condition: str) -> None:
    """Wait until an expression of the page holds; raises TimeoutError."""
    end = time.monotonic() + SECONDS
    while not browser.execute_script(f"return Boolean({condition})"):
        if time.monotonic() > end:
            raise TimeoutError(f"the page did not come to: {condition}")
        time.sleep(0.1)


def start_browser() -> webdriver.Chrome:
    """Start a browser without a window."""
    options = webdriver.ChromeOptions()
    for option in ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"):
        options.add_argument(option)
    options.binary_location = shutil.which("chromium") or shutil.which("chromium-browser") or ""
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))


def look(browser: webdriver.Chrome, size: str, scheme: str) -> None:
    """Give the window a size, and the system a colour scheme."""
    width, height = SIZES[size]
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1 if size == "wide" else 2, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def draw_samples(browser: webdriver.Chrome, url: str) -> None:
    """Enlarge the photograph in four samples, and look closer at it."""
    browser.get(url)
    wait(browser, "document.getElementById('model').value")
    browser.find_element(By.ID, "files-input").send_keys(str(PHOTO))
    browser.execute_script("document.getElementById('samples').value = 4")
    wait(browser, "!document.getElementById('enlarge').disabled")
    browser.find_element(By.ID, "enlarge").click()
    wait(browser, DONE)


def save(browser: webdriver.Chrome, name: str) -> None:
    """Save what is seen as a JPEG."""
    browser.execute_script("scrollTo(0, 0)")
    time.sleep(0.5)
    picture = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")
    picture.save(OUT / f"web-{name}.jpg", quality=88, optimize=True)


def take_all(browser: webdriver.Chrome, url: str) -> None:
    """Draw samples once, and take every picture of them."""
    look(browser, "wide", "light")
    draw_samples(browser, url)
    for size in SIZES:
        for scheme in SCHEMES:
            look(browser, size, scheme)
            save(browser, f"{size}-{scheme}")
    look(browser, "wide", "light")
    browser.find_element(By.ID, "overlay").click()
    wait(browser, COVERED)
    save(browser, "deviation")
    browser.find_element(By.CSS_SELECTOR, "[name=view][value=beside]").click()
    wait(browser, "document.querySelectorAll('.pane .picture').length === 6")
    save(browser, "samples")


def main() -> None:
    """Start the server and a browser, and end them."""
    command = [sys.executable, "-m", "sr3", "web", "--port", "0", "--no-open"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        browser = start_browser()
        try:
            assert server.stdout is not None
            take_all(browser, server.stdout.readline().split()[0])
        finally:
            browser.quit()
            server.terminate()


if __name__ == "__main__":
    main()
