"""The pages in a real browser: by keyboard and mouse, without script, on narrow screens, for screen readers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from extensions.ui.artifacts import artifact, envelope, readme, spdx, statement
from extensions.ui.browsing import LIMIT_S, WIDE, appears, console, errors, flaws
from extensions.ui.test_pages import HOSTILE, described
from http_client import Client
from layout.images import image
from zot.testing import RunningRegistry

pytestmark = [pytest.mark.needs("chromium", "chromedriver"), pytest.mark.xdist_group("browser")]


@pytest.fixture
def clean(browser: Chrome) -> Iterator[Chrome]:
    """The shared browser, wide and logged out. At the end of a test its console has no error."""
    browser.set_window_size(*WIDE)
    browser.delete_all_cookies()
    console(browser)
    yield browser
    assert errors(browser) == []


def is_at(browser: Chrome, path: str) -> None:
    """Wait until the browser shows the page of a path."""
    WebDriverWait(browser, LIMIT_S).until(lambda chrome: chrome.current_url.partition("/image")[2] == path)


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

FLAWED = """<!doctype html><html lang="en"><meta name="viewport" content="width=device-width"><title>A page</title>
<style>@media (prefers-color-scheme: dark) { p { color: #ccc } } @media (max-width: 400px) { p { width: 800px } }
body { margin: 0; background: #fff }</style>
<main><h1>A page</h1><p>Text</p><input><img alt="" src="data:,"></main><script>throw "thrown"</script></html>"""


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
    rows = WebDriverWait(clean, LIMIT_S).until(
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


def test_pages_work_without_script(scriptless: Chrome, filled: RunningRegistry) -> None:
    scriptless.get(filled.url + "/")
    appears(scriptless, "#search").send_keys("browser/app", Keys.ENTER)
    appears(scriptless, "main a[href='/image/browser%2Fapp']").click()
    appears(scriptless, "main a[href='/image/browser%2Fapp/tag/1.0']").click()
    assert "browser/app:1.0" in appears(scriptless, "h1").text
    assert scriptless.find_elements(By.CSS_SELECTOR, ".js") == []


@pytest.mark.needs("axe-core")
def test_the_check_of_a_page_finds_each_flaw(browser: Chrome, tmp_path: Path) -> None:
    """A page is sound only if the browser looked: what is wrong in one scheme or on one screen is found, too."""
    page = tmp_path / "page.html"
    page.write_text(FLAWED)
    found = str(flaws(browser, page.as_uri()))
    for flaw in ("Uncaught", "<img", "'label'", "800 pixels wide", "'color-contrast'"):
        assert flaw in found


@pytest.mark.needs("axe-core")
@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_accessible_and_fits_and_runs_nothing(browser: Chrome, filled: RunningRegistry, path: str) -> None:
    """In both colour schemes, on a narrow screen, with text of clients that would run."""
    assert flaws(browser, filled.url + path) == []
