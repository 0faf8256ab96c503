"""A real browser that visits the pages, and what it finds wrong with one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

import programs

WIDE, NARROW = (1440, 1000), (390, 844)
LIMIT_S = 30.0


@contextmanager
def opened(*arguments: str, scripts: bool = True) -> Iterator[Chrome]:
    """A browser of its own."""
    options = ChromeOptions()
    options.binary_location = str(programs.require("chromium"))
    for each in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", *arguments):
        options.add_argument(each)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    if not scripts:
        options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
    browser = Chrome(options=options, service=Service(str(programs.require("chromedriver"))))
    try:
        yield browser
    finally:
        browser.quit()


def console(browser: Chrome) -> list[dict[str, Any]]:
    """Return what the browser has written to its console since the last call."""
    lines: list[dict[str, Any]] = browser.get_log("browser")  # type: ignore[no-untyped-call] # selenium's
    return lines


def appears(browser: Chrome, selector: str) -> WebElement:
    """Wait for an element and return it."""
    return WebDriverWait(browser, LIMIT_S).until(lambda chrome: chrome.find_element(By.CSS_SELECTOR, selector))


def flaws(browser: Chrome, url: str) -> list[object]:
    """Return what is wrong with a page.

    That is what axe-core finds in the light scheme, the contrasts that it finds in the dark one, errors on the console,
    elements that only text of clients could have made, and the width on a narrow screen if it is more.
    """
    browser.set_window_size(*WIDE)
    console(browser)
    _prefer(browser, "light")
    browser.get(url)
    found: list[object] = [each["message"] for each in errors(browser)]
    found += [each.get_attribute("outerHTML") for each in browser.find_elements(By.CSS_SELECTOR, _NEVER_MADE)]
    browser.execute_script(programs.require("axe-core").read_text())
    found += _violations(browser, {})
    _prefer(browser, "dark")
    found += _violations(browser, {"runOnly": ["color-contrast"]})
    width = _narrow_width(browser)
    return found + ([f"{width} pixels wide"] if width > NARROW[0] else [])


_NEVER_MADE = "main script, main img"


def errors(browser: Chrome) -> list[dict[str, Any]]:
    """Return the errors on the console since the last call, without those of the network."""
    return [each for each in console(browser) if each["level"] == "SEVERE" and each["source"] != "network"]


def _prefer(browser: Chrome, scheme: str) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )


def _violations(browser: Chrome, options: dict[str, object]) -> list[tuple[str, list[str]]]:
    """Return what axe-core finds, with the elements concerned."""
    found = browser.execute_async_script(
        "const [options, done] = arguments; axe.run(options).then(done, error => done({error: '' + error}))", options
    )
    assert "error" not in found, found
    return [(each["id"], [node["html"] for node in each["nodes"]][:3]) for each in found["violations"]]


def _narrow_width(browser: Chrome) -> int:
    """Return how wide the page is on a narrow screen."""
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": NARROW[0], "height": NARROW[1], "deviceScaleFactor": 1, "mobile": True},
    )
    try:
        width: int = browser.execute_script("return document.documentElement.scrollWidth")
        return width
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
