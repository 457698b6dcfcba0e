"""What a person does with the page, and what the page shows, by Selenium."""

import base64
import time
from pathlib import Path

from selenium.webdriver.common.by import By

DROP = """
const [name, text] = arguments;
const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const moved = new DataTransfer();
moved.items.add(new File([bytes], name));
for (const kind of ["dragenter", "dragover", "drop"]) {
  document.getElementById("work").dispatchEvent(
    new DragEvent(kind, { dataTransfer: moved, bubbles: true, cancelable: true }));
}
"""
PASTE = """
const [name, text] = arguments;
const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const moved = new DataTransfer();
moved.items.add(new File([bytes], name));
document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: moved, bubbles: true, cancelable: true }));
"""
TIMES = "\N{MULTIPLICATION SIGN}"
DONE = "!document.getElementById('done').hidden && document.getElementById('running').hidden"


def wait(browser, condition, seconds=30):
    """Wait until an expression of the page holds."""
    end = time.monotonic() + seconds
    while not browser.execute_script(f"return Boolean({condition})"):
        assert time.monotonic() < end, f"the page did not come to: {condition}; it says {page_text(browser)}"
        time.sleep(0.02)


def page_text(browser):
    return browser.find_element(By.ID, "work").text + str(browser.get_log("browser"))


def by_id(browser, name):
    return browser.find_element(By.ID, name)


def text(browser, name):
    """Visible text of an element; empty when it is hidden."""
    return by_id(browser, name).text


def visit(browser, url):
    browser.get(url)
    wait(browser, "document.getElementById('model').value")


def drop(browser, path: Path, *, script=DROP):
    browser.execute_script(script, path.name, base64.b64encode(path.read_bytes()).decode())
    wait(browser, "!document.getElementById('enlarge').disabled")


def choose(browser, *paths: Path):
    by_id(browser, "files-input").send_keys("\n".join(map(str, paths)))
    wait(browser, f"document.querySelectorAll('#tray li').length >= {len(paths)}")


def select(browser, name, value):
    script = (
        "const field = document.getElementById(arguments[0]); field.value = arguments[1];"
        "for (const kind of ['input', 'change']) field.dispatchEvent(new Event(kind, { bubbles: true }))"
    )
    browser.execute_script(script, name, str(value))


def enlarge(browser):
    """Begin; a fast job may be over before the page is asked, so the page itself notes that it ran."""
    browser.execute_script("""
        window.ran = false;
        const running = document.getElementById("running");
        new MutationObserver((changes) => {
            window.ran ||= !running.hidden || changes.some((change) => change.oldValue === null);
        }).observe(running, { attributeFilter: ["hidden"], attributeOldValue: true });
    """)
    by_id(browser, "enlarge").click()
    wait(browser, "window.ran")


def until_done(browser, seconds=60):
    wait(browser, DONE, seconds)


def draw(browser, fake, photo, **settings):
    """Take a picture through the page with some settings, to its end."""
    visit(browser, fake.url)
    drop(browser, photo)
    for name, value in settings.items():
        select(browser, name, value)
    enlarge(browser)
    until_done(browser)


def split(browser):
    return int(by_id(browser, "divider").get_attribute("aria-valuenow"))


def zoom(browser):
    return int(text(browser, "zoom-level").split()[0])


def transforms(browser, selector):
    script = "return [...document.querySelectorAll(arguments[0])].map((sheet) => sheet.style.transform)"
    return browser.execute_script(script, selector)


def saved(browser, seconds=20):
    """The files that the browser has saved, {name: content}, once there is one."""
    end = time.monotonic() + seconds
    while True:
        files = [path for path in browser.saved.iterdir() if path.suffix != ".crdownload" and path.name[0] != "."]
        if files and len(files) == len(list(browser.saved.iterdir())):
            return {path.name: path.read_bytes() for path in files}
        assert time.monotonic() < end, "the browser has saved nothing"
        time.sleep(0.05)


def complaints(browser):
    """What the browser's console says: errors, refusals of the content security policy, warnings."""
    return [entry for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
