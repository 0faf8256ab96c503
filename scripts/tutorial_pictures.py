"""Take the pictures of docs/tutorial/browse-the-registry.md: `make pictures`.

A registry of its own is filled with small real images, and Debian's Chromium goes through the steps of the tutorial.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import random
import sys
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "tutorial" / "pictures"
sys.path.insert(0, str(ROOT / "tests"))

from selenium.webdriver import Chrome, ChromeOptions  # noqa: E402
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.remote.webelement import WebElement  # noqa: E402
from selenium.webdriver.support.wait import WebDriverWait  # noqa: E402

import programs  # noqa: E402 (of the tests, as the three below)
from extensions.ui.artifacts import readme  # noqa: E402
from http_client import Client  # noqa: E402
from layout.images import CONFIG, MANIFEST, Image, index, sha256  # noqa: E402
from zot.testing import serve  # noqa: E402

WIDE, NARROW = (1440, 900), (390, 844)
NAMES = (
    *("empty", "explore", "find", "repository", "readme", "image", "layers"),
    *("compare", "delete", "deleted", "narrow", "narrow-image"),
)
"""The pictures, in the order of the tutorial."""
_LIMIT_S = 60.0
_QUALITY = 75
_MARGIN = 24
_TO_LAYERS = "[...document.querySelectorAll('h2')].find(each => each.textContent.includes('Layers')).scrollIntoView()"
# Where the page ends in the window, and the part of the page that the window shows.
_SHOWN = """
const ends = ['main', '#suggestions'].map(each => document.querySelector(each)?.getBoundingClientRect().bottom ?? 0);
return [Math.max(...ends), window.scrollY, window.innerWidth, window.innerHeight];
"""
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_API = "/image/shop%2Fapi"
_README = """# The shop's API

Serves prices and stock to [the shop](https://shop.example). It listens on port 8000, and needs `DATABASE_URL`.

| Setting | Default |
| --- | --- |
| `DATABASE_URL` | none |
| `WORKERS` | 2 |
"""


def main() -> None:
    """Take all pictures."""
    PICTURES.mkdir(exist_ok=True)
    with serve(config={"extensions": {"search": {}, "ui": {}}}) as registry, _browser() as browser:
        _Tour(browser, registry.url, Client(registry.host)).walk()
    taken = sorted(PICTURES.glob("*.webp"))
    print(f"{len(taken)} pictures, {sum(each.stat().st_size for each in taken) >> 10} KiB")  # noqa: T201


class _Tour:
    """The steps of the tutorial, with a picture of each."""

    def __init__(self, browser: Chrome, url: str, client: Client) -> None:
        self._browser = browser
        self._url = url
        self._client = client

    def walk(self) -> None:
        """Go through the steps."""
        self._size(*WIDE)
        self._open("/", containing="This registry is empty")
        self._take("empty")
        _fill(self._client)
        self._open("/explore")
        self._take("explore")
        self._wait("#search").send_keys("shop/api:1")
        self._wait("#suggestions a")
        self._take("find")
        self._open(_API)
        self._take("repository")
        self._browser.find_element(By.LINK_TEXT, "README").click()
        self._wait("main table")
        self._take("readme")
        self._open(f"{_API}/tag/1.2")
        self._take("image")
        self._browser.execute_script(_TO_LAYERS)
        self._take("layers")
        self._open(f"{_API}/tag/1.2/compare?with=1.1")
        self._take("compare")
        self._open(_API)
        for tag in ("1.0", "1.1"):
            self._wait(f"input[name=tag][value='{tag}']").click()
        self._wait("form[action='/ui/delete'] p button").click()
        self._wait("form[action='/ui/delete'] button.first")
        self._take("delete")
        self._wait("form[action='/ui/delete'] button.first").click()
        self._wait("form[action='/ui/restore'] button")
        self._take("deleted")
        self._wait("form[action='/ui/restore'] button").click()
        self._size(*NARROW)
        self._open("/explore")
        self._take("narrow")
        self._open(f"{_API}/tag/1.2")
        self._take("narrow-image")

    def _size(self, width: int, height: int) -> None:
        # A window cannot be as narrow as a telephone.
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def _open(self, path: str, containing: str = "") -> None:
        def is_there(browser: Chrome) -> bool:
            browser.get(self._url + path)
            return containing in browser.page_source

        WebDriverWait(self._browser, _LIMIT_S).until(is_there)
        self._wait("main")

    def _wait(self, selector: str) -> WebElement:
        return WebDriverWait(self._browser, _LIMIT_S).until(
            lambda browser: browser.find_element(By.CSS_SELECTOR, selector)
        )

    def _take(self, name: str) -> None:
        assert name in NAMES
        bottom, y, width, height = self._browser.execute_script(_SHOWN)
        clip = {"x": 0, "y": y, "width": width, "height": min(height, bottom + _MARGIN), "scale": 1}
        options = {"format": "webp", "quality": _QUALITY, "clip": clip}
        taken = self._browser.execute_cdp_cmd("Page.captureScreenshot", options)
        (PICTURES / f"{name}.webp").write_bytes(base64.b64decode(taken["data"]))


@contextmanager
def _browser() -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = str(programs.require("chromium"))
    for each in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(each)
    browser = Chrome(options=options, service=Service(str(programs.require("chromedriver"))))
    try:
        yield browser
    finally:
        browser.quit()


def _fill(client: Client) -> None:
    """Push what a small team has in its registry."""
    debian = _layer("debian", {"etc/os-release": b'NAME="Debian GNU/Linux"\n', "usr/lib/libc.so.6": _bytes(1, 900_000)})
    python = _layer("python", {"usr/bin/python3": _bytes(2, 400_000), "usr/lib/python3/os.py": b"# os\n" * 400})
    base = (("ADD rootfs.tar.gz /", debian), ("RUN apt-get install --yes python3", python))
    client.push("library/debian", _image("debian", "13", base[:1], {}), "13", "latest")
    client.push("library/python", _platforms("python", "3.14", base), "3.14", "latest")
    for number, version in enumerate(("1.0", "1.1", "1.2")):
        files = {
            "srv/api/main.py": _bytes(10 + number, 40_000 + 9000 * number),
            "srv/api/static.js": _bytes(20, 60_000),
        }
        steps = (*base, ("COPY . /srv/api", _layer("api", files)))
        environment = {"WORKERS": str(number + 1), "LOG_LEVEL": "info"}
        image = _image("api", version, steps, environment)
        client.push("shop/api", image, version, *(["latest"] if version == "1.2" else []))
    client.push("shop/api", readme(_README, image))
    shop = (*base[:1], ("COPY dist /usr/share/nginx/html", _layer("web", {"index.html": b"<h1>Shop</h1>" * 900})))
    for version in ("2.0", "2.1"):
        client.push("shop/web", _platforms("web", version, shop), version)
    migrate = (*base, ("COPY migrate /usr/bin/", _layer("migrate", {"usr/bin/migrate": _bytes(30, 90_000)})))
    client.push("tools/migrate", _image("migrate", "7", migrate, {}), "7")


def _platforms(name: str, version: str, steps: tuple[tuple[str, bytes], ...]) -> Image:
    return index(*(_image(name, version, steps, {}, architecture) for architecture in ("amd64", "arm64")))


def _image(
    name: str,
    version: str,
    steps: tuple[tuple[str, bytes], ...],
    environment: Mapping[str, str],
    architecture: str = "amd64",
) -> Image:
    """Return an image as a build makes it: each step has made a layer."""
    described = {
        "org.opencontainers.image.title": name,
        "org.opencontainers.image.version": version,
        "org.opencontainers.image.vendor": "Example Shop",
        "org.opencontainers.image.source": f"https://git.shop.example/{name}",
        "org.opencontainers.image.licenses": "Apache-2.0",
    }
    created = f"2026-0{1 + int(version[-1]) % 8}-12T09:30:00Z"
    config = {
        "os": "linux",
        "architecture": architecture,
        "created": created,
        "config": {
            "Env": ["PATH=/usr/bin", *(f"{key}={value}" for key, value in environment.items())],
            "Entrypoint": ["/usr/bin/python3", f"/srv/{name}/main.py"],
            "ExposedPorts": {"8000/tcp": {}},
            "Labels": described,
        },
        "rootfs": {"type": "layers", "diff_ids": [sha256(gzip.decompress(layer)) for _, layer in steps]},
        "history": [
            *({"created": created, "created_by": command} for command, _ in steps),
            {"created": created, "created_by": "ENTRYPOINT", "empty_layer": True},
        ],
    }
    raw = json.dumps(config).encode()
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": sha256(raw), "size": len(raw)},
        "layers": [{"mediaType": _LAYER, "digest": sha256(layer), "size": len(layer)} for _, layer in steps],
        "annotations": described,
    }
    return Image(json.dumps(document).encode(), MANIFEST, (raw, *(layer for _, layer in steps)))


def _layer(name: str, files: Mapping[str, bytes]) -> bytes:
    """Return a layer with some files: the same bytes for the same files."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path, content in files.items():
            entry: Any = tarfile.TarInfo(path)
            entry.size, entry.uname = len(content), name
            archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(packed.getvalue(), mtime=0)


def _bytes(seed: int, count: int) -> bytes:
    return random.Random(seed).randbytes(count)


if __name__ == "__main__":
    main()
