"""Chromium for tests: where it is, whether it must be there, and the options it starts with."""

import importlib
import os
import shutil

import pytest

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
)


def need(module: str) -> None:
    """Skip a module of tests where a package is missing; an error where the browser is required."""
    if REQUIRED:
        importlib.import_module(module)
    else:
        pytest.importorskip(module, reason=f"{module} is not installed")


def need_browser() -> None:
    """Skip a test where there is no Chromium with its driver; a failure where the browser is required."""
    if BROWSER is not None and DRIVER is not None:
        return
    if REQUIRED:
        pytest.fail("SR3_TEST_BROWSER is required, but there is no chromium with chromedriver; install both")
    pytest.skip("there is no chromium with chromedriver here")


def options(folder):
    """Options of a browser that keeps what it saves in a folder."""
    from selenium import webdriver

    found = webdriver.ChromeOptions()
    found.binary_location = BROWSER
    for option in (*OPTIONS, f"--user-data-dir={folder}"):
        found.add_argument(option)
    return found
