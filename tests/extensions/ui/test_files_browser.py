"""The pages of files in a real browser: lists that appear by themselves, by clicks and keys, narrow and accessible."""

from __future__ import annotations

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

from extensions.layers.archives import archive, compressed, entry, layered, link
from extensions.ui.browsing import WIDE, appears, console, flaws
from extensions.ui.test_files import BASE, app, listed
from extensions.ui.test_pages import HOSTILE
from http_client import Client
from zot.testing import RunningRegistry

pytestmark = [pytest.mark.needs("chromium", "chromedriver"), pytest.mark.xdist_group("browser")]

FILES = "/image/looked%2Finto/tag/2/files"
ODD = "/image/looked%2Finto/tag/odd/files"
PAGES = [
    FILES,
    f"{FILES}?path=etc",
    f"{FILES}?path=etc/passwd",
    f"{FILES}?path=bin/tool",
    f"{FILES}?path=bin/sh",
    f"{FILES}?find=a",
    f"{FILES}?find=nowhere",
    ODD,
    "/image/looked%2Finto/tag/1/compare?with=2",
    "/image/looked%2Finto/tag/1/compare?with=odd",
]


@pytest.fixture(scope="module")
def filled(running: RunningRegistry) -> RunningRegistry:
    """The shared registry with images whose layers are listed: an ordinary one, and one of hostile names."""
    client = Client(running.host)
    name = HOSTILE.replace("/", "")
    odd = archive(
        entry(name, HOSTILE.encode()), entry("long" * 60, b"x"), entry("a b\u202ec\n", b"x"), link("link", HOSTILE)
    )
    client.push("looked/into", layered("1", [compressed(BASE, "gzip")]), "1")
    client.push("looked/into", app("2"), "2")
    client.push("looked/into", layered("odd", [odd, b"no archive" * 99]), "odd")
    for tag in ("1", "2", "odd"):
        listed(client, f"/image/looked%2Finto/tag/{tag}/files")
    return running


def test_a_page_that_waits_for_lists_shows_them_by_itself(browser: Chrome, running: RunningRegistry) -> None:
    client = Client(running.host)
    browser.set_window_size(*WIDE)
    client.push("looked/waits", app("waits"), "1")
    browser.get(running.url + "/image/looked%2Fwaits/tag/1/files")
    appears(browser, "#files tbody td.name a[href$='path=etc']").click()
    appears(browser, "#files tbody td.name a[href$='path=etc/passwd']").click()
    assert appears(browser, "#files pre").text == "changed"
    assert [each for each in console(browser) if each["level"] == "SEVERE"] == []


def test_a_page_that_waits_for_lists_shows_them_without_script(scriptless: Chrome, running: RunningRegistry) -> None:
    Client(running.host).push("looked/plain", app("plain"), "1")
    scriptless.get(running.url + "/image/looked%2Fplain/tag/1/files")
    appears(scriptless, "#files tbody td.name a")


def test_a_layer_is_chosen_and_a_path_searched(browser: Chrome, filled: RunningRegistry) -> None:
    browser.set_window_size(*WIDE)
    browser.get(filled.url + FILES)
    Select(appears(browser, "select[name=layer]")).select_by_index(2)
    appears(browser, "nav.trail a[href*='layer=']")
    browser.get(filled.url + FILES)
    appears(browser, "input[name=find]").send_keys("passwd", Keys.ENTER)
    appears(browser, "tr.gone")
    browser.find_element(By.TAG_NAME, "body").send_keys(Keys.ARROW_DOWN)
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    appears(browser, "nav.trail [aria-current=page]")


@pytest.mark.needs("axe-core")
@pytest.mark.parametrize("path", PAGES)
def test_a_page_of_files_is_accessible_and_fits_and_runs_nothing(
    browser: Chrome, filled: RunningRegistry, path: str
) -> None:
    """In both colour schemes, on a narrow screen, with text of clients that would run."""
    assert flaws(browser, filled.url + path) == []


def test_names_of_files_run_in_no_browser(browser: Chrome, filled: RunningRegistry) -> None:
    browser.set_window_size(*WIDE)
    browser.get(filled.url + ODD)
    links = [each.get_attribute("href") for each in browser.find_elements(By.CSS_SELECTOR, "td.name a")]
    assert len(links) == 4
    for path in links:
        assert path is not None
        browser.get(path)
        assert browser.find_elements(By.CSS_SELECTOR, "main script, main img") == []
