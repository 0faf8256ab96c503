"""Pages that look inside layers: directories, files, searches, downloads and comparisons."""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest

from extensions.layers.archives import TAR, archive, compressed, directory, entry, layered, link
from extensions.ui.test_pages import HOSTILE
from extensions.ui.visitor import EXTENSIONS, log_in, page
from http_client import Client, wait_for
from layout.images import Image, sha256
from zot.testing import RunningRegistry, serve

NON_DISTRIBUTABLE = "application/vnd.oci.image.layer.nondistributable.v1.tar"
TEXT = "root:x:0:0:root:/root:/bin/sh\n"
BASE = archive(
    directory("etc"),
    entry("etc/passwd", TEXT.encode(), mode=0o644, uname="root", gname="root"),
    entry("etc/shadow", b"secret", mode=0o640),
    entry("bin/tool", b"\x7fELF\0\1\2" + bytes(300_000), mode=0o755),
    link("bin/sh", "tool"),
    link("bin/hard", "./bin/tool", tarfile.LNKTYPE),
    entry("opt/old/a", b"1"),
)
UPPER = archive(
    entry("etc/.wh.shadow"), entry("etc/passwd", b"changed"), entry("opt/old/.wh..wh..opq"), entry("new", b"n")
)


def app(name: str = "app") -> Image:
    """An image of two layers: one compressed by gzip, the other by zstd."""
    return layered(name, [compressed(BASE, "gzip"), compressed(UPPER, "zstd")])


def listed(client: Client, path: str, **headers: str) -> str:
    """Return a page of files once the lists that it needs are made."""
    text = ""

    def is_there() -> bool:
        nonlocal text
        text = page(client, path, **headers)
        return "are being listed" not in text

    wait_for(is_there)
    return text


def names(text: str) -> list[str]:
    """Return the names in the table of a page of files."""
    cells = re.findall(r'<td class="name">(.*?)</td>', text.partition('<section id="files"')[2], re.DOTALL)
    return [re.sub(r"<[^>]*>", "", each).split(" ")[0] for each in cells]


def test_a_request_makes_no_list_but_asks_for_it(client: Client) -> None:
    client.push("files/asked", app("asked"), "1")
    first = page(client, "/image/files%2Fasked/tag/1/files")
    assert "The files of 2 of 2 layers are being listed" in first
    assert '<noscript><meta http-equiv="refresh"' in first
    assert 'hx-get="/image/files%2Fasked/tag/1/files"' in first
    text = listed(client, "/image/files%2Fasked/tag/1/files")
    assert "http-equiv" not in text
    assert names(text) == ["bin/", "etc/", "new", "opt/"]


def test_an_image_shows_its_files_with_whiteouts_applied(client: Client) -> None:
    client.push("files/merged", app("merged"), "1")
    address = "/image/files%2Fmerged/tag/1/files"
    listed(client, address)
    etc = page(client, f"{address}?path=etc")
    assert names(etc) == ["passwd"]
    assert "-rw-r--r--" in etc
    assert names(page(client, f"{address}?path=opt/old")) == []
    assert names(page(client, f"{address}?path=/bin/")) == ["hard", "sh", "tool"]
    assert "→ tool" in page(client, f"{address}?path=bin")
    assert client.get(f"{address}?path=etc/shadow").status == 404
    assert client.get(f"{address}?path=none").status == 404


def test_one_layer_shows_what_it_has_and_deletes(client: Client) -> None:
    image = app("alone")
    client.push("files/alone", image, "1")
    address = f"/image/files%2Falone/tag/1/files?layer={sha256(image.blobs[2])}"
    listed(client, address)
    etc = page(client, f"{address}&path=etc")
    assert names(etc) == ["passwd", "shadow"]
    assert "deleted from the layers below" in etc
    assert "all that the layers below have in this directory is deleted" in page(client, f"{address}&path=opt/old")
    lower = f"/image/files%2Falone/tag/1/files?layer={sha256(image.blobs[1])}&path=etc/passwd"
    assert TEXT.strip() in listed(client, lower)
    assert client.get(f"/image/files%2Falone/tag/1/files?layer={sha256(b'')}").status == 404


def test_a_file_is_shown_as_text_or_called_binary(client: Client) -> None:
    client.push("files/shown", app("shown"), "1")
    address = "/image/files%2Fshown/tag/1/files?path="
    listed(client, address)
    passwd = page(client, f"{address}etc/passwd")
    assert ">changed</pre>" in passwd
    assert hashlib.sha256(b"changed").hexdigest() in passwd
    assert "layer 2" in passwd
    tool = page(client, f"{address}bin/tool")
    assert "The file is binary" in tool
    assert "300,007 bytes" in tool
    assert "The file is binary" in page(client, f"{address}bin/hard")
    assert "path=bin/tool" in page(client, f"{address}bin/sh").partition("→ tool")[0].rpartition("<a ")[2]


@pytest.mark.parametrize("how", ["none", "gzip", "zstd"])
def test_a_download_has_the_bytes_of_the_file_and_is_never_shown(client: Client, how: str) -> None:
    contents = {f"f{each}": hashlib.sha256(bytes([each])).digest() * 40_000 for each in range(3)}
    layer = compressed(archive(*(entry(*each) for each in contents.items())), how)
    client.push(f"files/{how}", layered(how, [layer]), "1")
    listed(client, f"/image/files%2F{how}/tag/1/files")
    for name, content in contents.items():
        address = f"/image/files%2F{how}/tag/1/download?path={name}"
        answer = client.get(address)
        assert (answer.status, answer.body == content) == (200, True)
        assert answer["Content-Type"] == "application/octet-stream"
        assert answer["Content-Disposition"] == f"attachment; filename*=UTF-8''{name}"
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in (answer["Content-Security-Policy"] or "")
        head = client.head(address)
        assert (head.status, head["Content-Length"]) == (200, str(len(content)))


def test_what_has_no_content_is_not_downloaded(client: Client) -> None:
    client.push("files/nothing", app("nothing"), "1")
    address = "/image/files%2Fnothing/tag/1/download"
    assert client.get(f"{address}?path=etc/passwd").status in {200, 503}
    listed(client, "/image/files%2Fnothing/tag/1/files")
    for query in ("", "?path=etc", "?path=etc/shadow", "?path=none", "?path=bin/sh", f"?layer={sha256(b'')}&path=new"):
        assert client.get(address + query).status == 404
    assert client.get(f"{address}?path=bin/hard").body.startswith(b"\x7fELF")


def test_a_search_says_which_layer_a_path_comes_from(client: Client) -> None:
    client.push("files/found", app("found"), "1")
    address = "/image/files%2Ffound/tag/1/files"
    listed(client, address)
    text = page(client, f"{address}?find=PASS")
    assert names(text) == ["etc/passwd", "etc/passwd"]
    assert "deleted or replaced by layer 2" in text
    shadow = page(client, f"{address}?find=shadow")
    assert shadow.count("etc/shadow") >= 2
    assert "deleted from the layers below" in shadow
    assert "No path contains it" in page(client, f"{address}?find=nowhere")


def test_a_comparison_has_the_files_that_differ(client: Client) -> None:
    one, other = layered("one", [compressed(BASE, "gzip")]), app("other")
    client.push("files/compared", one, "1")
    client.push("files/compared", other, "2")
    text = listed(client, "/image/files%2Fcompared/tag/1/compare?with=2")
    assert "1 added, 2 removed, 1 changed" in re.sub(r"\s+", " ", text)
    assert names(text) == ["etc/passwd", "etc/shadow", "new", "opt/old/a"]
    assert ">content" in text
    same = listed(client, "/image/files%2Fcompared/tag/1/compare?with=1")
    assert "Their files are alike" in same


def test_directories_have_pages(client: Client) -> None:
    layer = archive(*(entry(f"d/{each:03}", b"x") for each in range(120)))
    client.push("files/many", layered("many", [layer]), "1")
    address = "/image/files%2Fmany/tag/1/files?path=d"
    assert len(names(listed(client, address))) == 50
    last = page(client, f"{address}&offset=100")
    assert len(names(last)) == 20
    assert 'rel="prev"' in last
    assert names(page(client, "/image/files%2Fmany/tag/1/files?find=d/0&offset=50"))[0] == "d/050"


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (b"no archive at all" * 99, "it is neither a tar archive nor one compressed by gzip or zstd"),
        (compressed(BASE, "gzip")[:-500], "The list ends early: it ends in the middle of the compressed data"),
        (b"\x28\xb5\x2f\xfd" + b"nonsense" * 99, "it does not decompress"),
    ],
)
def test_a_layer_that_cannot_be_listed_says_why(client: Client, content: bytes, note: str) -> None:
    client.push("files/damaged", layered(note, [content]), "1")
    assert note in listed(client, "/image/files%2Fdamaged/tag/1/files")


def test_a_layer_that_is_elsewhere_says_so(tmp_path: Path) -> None:
    with serve(tmp_path / "content", {"extensions": EXTENSIONS, "http": {"acceptSparse": True}}) as registry:
        client = Client(registry.host)
        image = app("sparse")
        client.push("files/sparse", Image(image.content, image.media_type, (image.blobs[0], image.blobs[2])), "1")
        text = listed(client, "/image/files%2Fsparse/tag/1/files")
        assert "Layer 1: The registry does not have this layer" in text
        assert names(text) == ["etc/", "new", "opt/"]


def test_hostile_names_and_contents_run_nowhere(client: Client) -> None:
    name = HOSTILE.replace("/", "")
    layer = archive(
        entry(f"{name}/{name}", HOSTILE.encode()),
        entry("\udcff\n\u202egnp", b"x", uname=name[:30], gname=name[:30]),
        link("link", HOSTILE),
    )
    client.push("files/hostile", layered("hostile", [layer]), "1")
    client.push("files/hostile", layered("empty", [archive()]), "2")
    address = "/image/files%2Fhostile/tag/1/files"
    root = listed(client, address)
    assert "\\xff\\x0a\\xe2\\x80\\xaegnp" in root
    listed(client, "/image/files%2Fhostile/tag/1/compare?with=2")
    shown = re.findall(r'<td class="name"><a href="([^"]*)"', root)
    assert len(shown) == 3
    paths = [
        *(each.replace("&amp;", "&") for each in shown),
        f"{address}?{urlencode({'path': name + '/' + name})}",
        f"{address}?{urlencode({'find': HOSTILE, 'path': HOSTILE, 'offset': HOSTILE})}",
        f"{address}?find=img",
        f"/image/files%2Fhostile/tag/1/compare?{urlencode({'with': '2'})}",
    ]
    for path in paths:
        text = page(client, path)
        assert "<script>alert" not in text, path
        assert "<img" not in text, path
        assert "\u202e" not in text, path
    assert client.get(f"{address}?{urlencode({'path': HOSTILE})}").status == 404
    answer = client.get(f"/image/files%2Fhostile/tag/1/download?path={quote(name + '/' + name)}")
    assert (answer.status, answer.body) == (200, HOSTILE.encode())
    assert re.fullmatch("[ -~]*[']{2}[A-Za-z0-9%._~-]*", answer["Content-Disposition"] or "")
    odd = client.get(
        f"/image/files%2Fhostile/tag/1/download?path={quote(chr(92) + 'xff' + chr(92) + 'x0a' + chr(8238) + 'gnp')}"
    )
    assert (odd.status, odd.body) == (200, b"x")


def test_files_are_shown_to_those_who_may_read_a_repository_that_has_them(guarded: RunningRegistry) -> None:
    """The list of a layer that another repository has is no way to it: a hidden image is a missing one."""
    client, admin = Client(guarded.host), Client(guarded.host, user="admin:admin")
    image = app("guarded")
    admin.push("secret/files", image, "1")
    admin.push("team/files", image, "1")
    cookie = log_in(client, "alice")
    listed(client, "/image/team%2Ffiles/tag/1/files", **cookie)
    for view in ("files", "files?path=etc", "download?path=new", f"files?layer={sha256(image.blobs[1])}"):
        hidden = client.get(f"/image/secret%2Ffiles/tag/1/{view}", **cookie)
        missing = client.get(f"/image/secret%2Fxyzab/tag/1/{view}", **cookie)
        assert hidden.status == missing.status == 404
        assert hidden.body.replace(b"secret/files", b"secret/xyzab").replace(b"%2Ffiles", b"%2Fxyzab") == missing.body
    assert client.get(f"/image/team%2Fapp/tag/1/files?layer={sha256(image.blobs[1])}", **cookie).status == 404


def test_a_layer_that_a_repository_does_not_hold_shows_nothing_of_its_list(guarded: RunningRegistry) -> None:
    """A manifest may name layers that are elsewhere: the list of one made for another repository stays hidden."""
    client, admin = Client(guarded.host), Client(guarded.host, user="admin:admin")
    image = app("borrowed")
    admin.push("secret/lent", image, "1")
    listed(admin, "/image/secret%2Flent/tag/1/files")
    document = json.loads(image.content)
    for each in document["layers"]:
        each["mediaType"] = NON_DISTRIBUTABLE
    own = archive(entry("own"))
    document["layers"].append({"mediaType": TAR, "digest": sha256(own), "size": len(own)})
    borrowing = Image(json.dumps(document).encode(), image.media_type, (image.blobs[0], own))
    empty = layered("nothing", [])
    admin.push("team/borrowed", borrowing, "1")
    admin.push("team/borrowed", empty, "2")
    cookie = log_in(client, "alice")
    layer = sha256(image.blobs[1])
    address = "/image/team%2Fborrowed/tag/1"
    root = listed(client, f"{address}/files", **cookie)
    assert "The registry does not have this layer" in root
    assert names(root) == ["own"]
    for view in ("files?find=passwd", f"files?layer={layer}", "compare?with=2"):
        text = listed(client, f"{address}/{view}", **cookie)
        assert set(names(text)) <= {"own"}, view
    for view in ("files?path=etc/passwd", f"files?path=etc/passwd&layer={layer}", "download?path=new"):
        assert client.get(f"{address}/{view}", **cookie).status == 404, view


def test_files_can_be_turned_off(tmp_path: Path) -> None:
    extensions = {"search": {}, "ui": {"layers": {"enable": False}}}
    with serve(tmp_path / "content", {"extensions": extensions}) as registry:
        client = Client(registry.host)
        client.push("a", app(), "1")
        assert client.get("/image/a/tag/1/files").status == 404
        assert client.get("/image/a/tag/1/download?path=new").status == 404
        assert "/files" not in page(client, "/image/a/tag/1")
        assert 'id="files"' not in page(client, "/image/a/tag/1/compare?with=1")
    assert not (tmp_path / "content" / ".zot" / "layers.db").exists()


def test_pages_say_so_while_lists_can_be_neither_read_nor_written(tmp_path: Path) -> None:
    """What an image is, is shown without its files, and its files are once the lists can be written."""
    with serve(tmp_path / "content", {"extensions": EXTENSIONS}) as registry:
        client = Client(registry.host)
        client.push("team/app", app(), "1", "2")
        lists = tmp_path / "content" / ".zot" / "layers.db"
        lists.mkdir()
        for path in ("files", "files?path=etc", "files?find=a", "compare?with=2"):
            text = page(client, f"/image/team%2Fapp/tag/1/{path}")
            assert "cannot read or write its lists of files now" in text
            assert "Look again" in text
            assert "http-equiv" not in text
        lists.rmdir()
        assert names(listed(client, "/image/team%2Fapp/tag/1/files")) == ["bin/", "etc/", "new", "opt/"]
