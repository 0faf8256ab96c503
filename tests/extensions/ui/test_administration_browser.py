"""The administrators' pages in a real browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from extensions.ui.administered import administered
from extensions.ui.browsing import WIDE, appears, flaws
from extensions.ui.visitor import log_in
from http_client import Client
from zot.testing import RunningRegistry

pytestmark = [pytest.mark.needs("chromium", "chromedriver"), pytest.mark.xdist_group("browser")]

PAGES = [
    "/admin",
    "/admin/usage",
    "/admin/usage?pattern=%5B",
    "/admin/jobs",
    "/admin/collection",
    "/admin/collection?repository=team/old",
    "/admin/users",
    "/admin/users?user=alice",
    "/admin/audit",
    "/admin/configuration",
    "/user/apikey",
]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    with administered(tmp_path_factory.mktemp("administered")) as running:
        client = Client(running.host)
        cookie = log_in(client, "alice")
        client.ask("POST", "/ui/keys", b"label=laptop", cookie | {"Content-Type": "application/x-www-form-urlencoded"})
        client.ask("DELETE", "/v2/<script>alert(1)</script>/manifests/1")
        yield running


def log_in_by_form(browser: Chrome, registry: RunningRegistry) -> None:
    browser.get(registry.url + "/login?next=/admin")
    appears(browser, "input[name=username]").send_keys("admin")
    appears(browser, "input[name=password]").send_keys("admin", Keys.ENTER)
    appears(browser, ".tabs a[href='/admin'][aria-current]")


@pytest.fixture(scope="module")
def browser(chrome: Chrome, registry: RunningRegistry) -> Chrome:
    """The shared browser, used by an administrator."""
    log_in_by_form(chrome, registry)
    return chrome


def test_an_administrator_finds_a_job_and_runs_it(browser: Chrome, registry: RunningRegistry) -> None:
    """The page shows the result without being loaded again."""
    browser.set_window_size(*WIDE)
    browser.get(registry.url + "/")
    appears(browser, ".account a[href='/admin']").click()
    appears(browser, ".tabs a[href='/admin/jobs']").click()
    appears(browser, "button[aria-label='Run now: GCTaskGenerator /']").click()
    WebDriverWait(browser, 30).until(lambda chrome: "3 repositories: removed" in chrome.page_source)


def test_an_administrator_reads_why_a_tag_goes(browser: Chrome, registry: RunningRegistry) -> None:
    browser.set_window_size(*WIDE)
    browser.get(registry.url + "/admin/collection")
    appears(browser, "main form input[name=repository]").send_keys("team/old", Keys.ENTER)
    appears(browser, "main td.name")
    assert "no manifest names it" in browser.page_source


def test_an_administrator_ends_a_session(browser: Chrome, registry: RunningRegistry) -> None:
    client = Client(registry.host)
    cookie = log_in(client, "bob")
    browser.set_window_size(*WIDE)
    browser.get(registry.url + "/admin/users")
    appears(browser, "main a[href='/admin/users?user=bob']").click()
    appears(browser, "form[action='/ui/admin/sessions/end'] button").click()
    WebDriverWait(browser, 30).until(
        lambda chrome: not chrome.find_elements(By.CSS_SELECTOR, "form[action='/ui/admin/sessions/end']")
    )
    assert client.get("/user/apikey", **cookie).status == 303


def test_the_pages_work_without_script(scriptless: Chrome, registry: RunningRegistry) -> None:
    log_in_by_form(scriptless, registry)
    appears(scriptless, ".tabs a[href='/admin/usage']").click()
    appears(scriptless, "main input[name=pattern]").send_keys("team/*", Keys.ENTER)
    assert [each.text for each in scriptless.find_elements(By.CSS_SELECTOR, "main td.name a")] == [
        "team/old",
        "team/app",
    ]
    appears(scriptless, ".tabs a[href='/admin/jobs']").click()
    appears(scriptless, "button[aria-label='Run now: ChangeLogTrim']").click()
    appears(scriptless, ".tabs a[href='/admin/jobs'][aria-current]")


@pytest.mark.needs("axe-core")
@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_accessible_and_fits_and_runs_nothing(browser: Chrome, registry: RunningRegistry, path: str) -> None:
    """In both colour schemes, on a narrow screen, with text of clients that would run."""
    assert flaws(browser, registry.url + path) == []
