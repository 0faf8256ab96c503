"""The pages in a real browser: by keyboard and mouse, without script, on narrow screens, for screen readers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

import programs
from extensions.ui.artifacts import artifact, envelope, readme, spdx, statement
from extensions.ui.test_pages import HOSTILE, described
from http_client import Client
from layout.images import image
from zot.testing import RunningRegistry

pytestmark = [pytest.mark.needs("chromium", "chromedriver"), pytest.mark.xdist_group("browser")]

WIDE, NARROW = (1440, 1000), (390, 844)
_LIMIT_S = 30.0


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


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    """A browser that all tests share."""
    with opened() as chrome:
        yield chrome


@pytest.fixture
def clean(browser: Chrome) -> Iterator[Chrome]:
    """The shared browser, wide and logged out. At the end of a test its console has no error."""
    browser.set_window_size(*WIDE)
    browser.delete_all_cookies()
    console(browser)
    yield browser
    assert [each for each in console(browser) if each["level"] == "SEVERE" and each["source"] != "network"] == []


def console(browser: Chrome) -> list[dict[str, Any]]:
    """Return what the browser has written to its console since the last call."""
    lines: list[dict[str, Any]] = browser.get_log("browser")  # type: ignore[no-untyped-call] # selenium's
    return lines


def appears(browser: Chrome, selector: str) -> WebElement:
    """Wait for an element and return it."""
    return WebDriverWait(browser, _LIMIT_S).until(lambda chrome: chrome.find_element(By.CSS_SELECTOR, selector))


def is_at(browser: Chrome, path: str) -> None:
    """Wait until the browser shows the page of a path."""
    WebDriverWait(browser, _LIMIT_S).until(lambda chrome: chrome.current_url.partition("/image")[2] == path)


def narrow_width(browser: Chrome, url: str) -> int:
    """Return how wide a page is on a narrow screen."""
    browser.set_window_size(*NARROW)
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": NARROW[0], "height": NARROW[1], "deviceScaleFactor": 1, "mobile": True},
    )
    try:
        browser.get(url)
        width: int = browser.execute_script("return document.documentElement.scrollWidth")
        return width
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def violations(browser: Chrome, url: str, scheme: str) -> list[tuple[str, list[str]]]:
    """Return what axe-core finds on a page in a colour scheme, with the elements concerned."""
    browser.set_window_size(*WIDE)
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    browser.get(url)
    browser.execute_cdp_cmd("Page.setBypassCSP", {"enabled": True})
    browser.execute_script(programs.require("axe-core").read_text())
    found = browser.execute_async_script(
        "const done = arguments[0]; axe.run().then(done, error => done({error: '' + error}))"
    )
    assert "error" not in found, found
    return [(each["id"], [node["html"] for node in each["nodes"]][:3]) for each in found["violations"]]


@pytest.fixture(scope="module")
def filled(running: RunningRegistry) -> RunningRegistry:
    """The shared registry with something on each of its pages."""
    client = Client(running.host)
    client.push("browser/app", image("browser"), "1.0", "2.0")
    client.push("browser/hostile", described("browser", HOSTILE), "1")
    client.push("browser/hostile", image("signature", subject=described("browser", HOSTILE)))
    for each in ATTACHED:
        client.push("browser/app", each)
    client.push("browser/hostile", readme(f"# {HOSTILE}\n\n[a](javascript:alert(1)) ![b](https://x/i.png)"), "readme")
    return running


README = """# The app

A [page](https://example.org), ![a logo](https://example.org/logo.png) and `code`.

| Setting | Default |
| --- | --- |
| a setting with a long name that takes much space | and a default value that takes as much |

```
a command line that is so long that it fits on no narrow screen, whatever its reader does with it
```
"""
_BUILT = {"runDetails": {"builder": {"id": "https://example.org"}}, "buildDefinition": {"buildType": HOSTILE}}
PROVENANCE = statement("https://slsa.dev/provenance/v1", _BUILT, HOSTILE)
ATTACHED = (
    readme(README, image("browser")),
    artifact("application/spdx+json", "sbom.json", spdx(60, HOSTILE), "application/spdx+json", image("browser")),
    artifact("application/x", "provenance.json", envelope(PROVENANCE), "application/x", image("browser")),
    artifact("application/x", "text", HOSTILE.encode() * 50, "text/plain", image("browser")),
)

PAGES = [
    "/image/browser%2Fapp/readme",
    "/image/browser%2Fhostile/readme",
    *(f"/image/browser%2Fapp/digest/{each.digest}/content" for each in ATTACHED),
    "/",
    "/explore?search=browser",
    "/explore?search=nothing-has-this-name",
    "/image/browser%2Fapp",
    "/image/browser%2Fapp/usage",
    "/image/browser%2Fapp/retention",
    "/image/browser%2Fapp/access",
    "/image/browser%2Fapp/untagged",
    "/image/browser%2Fapp/tag/1.0/history?at=2200-01-01T00:00",
    "/image/browser%2Fapp/history",
    "/image/browser%2Fapp/tag/1.0",
    "/image/browser%2Fapp/tag/1.0/raw",
    "/image/browser%2Fapp/tag/1.0/compare?with=2.0",
    "/image/browser%2Fapp/tag/1.0/history",
    "/image/browser%2Fhostile/tag/1",
    "/login",
    "/image/none",
]


def test_a_search_is_made_by_keys_alone(clean: Chrome, filled: RunningRegistry) -> None:
    clean.get(filled.url + "/")
    clean.find_element(By.TAG_NAME, "body").send_keys("/")
    search = clean.switch_to.active_element
    assert search.get_attribute("id") == "search"
    search.send_keys("browser/app:2")
    appears(clean, "#suggestions a[href$='/tag/2.0']")
    search.send_keys(Keys.ARROW_DOWN)
    clean.switch_to.active_element.send_keys(Keys.ENTER)
    is_at(clean, "/browser%2Fapp/tag/2.0")


def test_arrows_walk_through_the_rows(clean: Chrome, filled: RunningRegistry) -> None:
    clean.get(filled.url + "/image/browser%2Fapp?sortby=name")
    body = clean.find_element(By.TAG_NAME, "body")
    body.send_keys(Keys.ARROW_DOWN)
    clean.switch_to.active_element.send_keys(Keys.ARROW_DOWN)
    clean.switch_to.active_element.send_keys(Keys.ENTER)
    is_at(clean, "/browser%2Fapp/tag/2.0")


def test_tags_are_deleted_and_restored_by_clicks(clean: Chrome, running: RunningRegistry) -> None:
    client = Client(running.host)
    client.push("browser/undo", image("clicks"), "gone", "stays")
    clean.get(running.url + "/image/browser%2Fundo")
    appears(clean, "input[name=tag][value=gone]").click()
    appears(clean, "form[action='/ui/delete'] p button").click()
    appears(clean, "form[action='/ui/delete'] button.first").click()
    appears(clean, "form[action='/ui/restore'] button")
    assert client.tags("browser/undo") == ["stays"]
    appears(clean, "form[action='/ui/restore'] button").click()
    is_at(clean, "/browser%2Fundo/tag/gone")
    assert client.tags("browser/undo") == ["gone", "stays"]


def test_untagged_manifests_get_a_tag_or_are_deleted_by_clicks(clean: Chrome, running: RunningRegistry) -> None:
    client = Client(running.host)
    back, gone = image("gets a tag"), image("goes")
    for each in (back, gone, image("last")):
        client.push("browser/untagged", each, "1")
    clean.get(running.url + "/image/browser%2Funtagged/untagged")
    appears(clean, f"main a[href$='{back.digest}']").click()
    appears(clean, "form[action='/ui/restore'] input[name=tag]").send_keys("again", Keys.ENTER)
    is_at(clean, "/browser%2Funtagged/tag/again")
    clean.get(running.url + "/image/browser%2Funtagged/untagged")
    appears(clean, f"input[value='{gone.digest}']").click()
    appears(clean, "form[action='/ui/delete'] p button").click()
    appears(clean, "form[action='/ui/delete'] button.first").click()
    is_at(clean, "/browser%2Funtagged/untagged")
    assert clean.find_elements(By.CSS_SELECTOR, "input[type=checkbox]") == []
    assert client.tags("browser/untagged") == ["1", "again"]


def test_packages_of_an_attached_sbom_are_found_by_clicks(clean: Chrome, filled: RunningRegistry) -> None:
    clean.get(filled.url + "/image/browser%2Fapp/tag/1.0")
    appears(clean, "table.tree").find_element(By.PARTIAL_LINK_TEXT, "SBOM (SPDX)").click()
    appears(clean, "a[rel=next]").click()
    appears(clean, "a[rel=prev]")
    appears(clean, "main input[name=filter]").send_keys("-42@", Keys.ENTER)
    rows = WebDriverWait(clean, _LIMIT_S).until(
        lambda chrome: [each.text for each in chrome.find_elements(By.CSS_SELECTOR, "main tbody tr")][:2]
    )
    assert len(rows) == 1
    assert "1.42" in rows[0]


def test_a_user_logs_in_stars_and_logs_out(clean: Chrome, guarded: RunningRegistry) -> None:
    clean.get(guarded.url + "/image/team%2Fapp")
    appears(clean, ".account a[href^='/login']").click()
    appears(clean, "input[name=username]").send_keys("alice")
    appears(clean, "input[name=password]").send_keys("alice", Keys.ENTER)
    is_at(clean, "/team%2Fapp")
    appears(clean, "button.star[aria-pressed=false]").click()
    appears(clean, "button.star[aria-pressed=true]").click()
    appears(clean, "button.star[aria-pressed=false]")
    appears(clean, "form[action='/logout'] button").click()
    appears(clean, ".account a[href^='/login']")


def test_pages_work_without_script(filled: RunningRegistry) -> None:
    with opened(scripts=False) as browser:
        browser.get(filled.url + "/")
        appears(browser, "#search").send_keys("browser/app", Keys.ENTER)
        appears(browser, "main a[href='/image/browser%2Fapp']").click()
        appears(browser, "main a[href='/image/browser%2Fapp/tag/1.0']").click()
        assert "browser/app:1.0" in appears(browser, "h1").text
        assert browser.find_elements(By.CSS_SELECTOR, ".js") == []


@pytest.mark.parametrize("path", PAGES)
def test_a_page_fits_a_narrow_screen(browser: Chrome, filled: RunningRegistry, path: str) -> None:
    assert narrow_width(browser, filled.url + path) <= NARROW[0]


@pytest.mark.needs("axe-core")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_accessible(browser: Chrome, filled: RunningRegistry, path: str, scheme: str) -> None:
    shown = violations(browser, filled.url + path, scheme)
    assert shown == [], json.dumps(shown, indent=1)


def test_text_of_clients_runs_in_no_browser(clean: Chrome, filled: RunningRegistry) -> None:
    for path in PAGES:
        clean.get(filled.url + path)
        assert clean.find_elements(By.CSS_SELECTOR, "main script, main img") == []
    console(clean)  # the page that is not there is an error to the console
