"""Pages show what artifacts carry as what it is, bounded, and nothing of it runs."""

from __future__ import annotations

import json

import pytest

from extensions.ui.artifacts import artifact, envelope, readme, spdx, statement
from extensions.ui.test_pages import HOSTILE
from extensions.ui.visitor import log_in, page
from http_client import Client
from layout.images import Image, image
from zot.extensions.ui.documents import DOCUMENT_LIMIT_BYTES
from zot.extensions.ui.json_fields import indented
from zot.extensions.ui.referrers import DEPTH_LIMIT, ROWS_LIMIT
from zot.testing import RunningRegistry

SPDX = "application/spdx+json"


def pushed(client: Client, name: str, content: bytes, media_type: str, file: str = "file") -> str:
    """Push an artifact of one file and return the address of its page."""
    digest = client.push(name, artifact(media_type, file, content, media_type))
    return f"/image/{name.replace('/', '%2F')}/digest/{digest}/content"


def test_referrers_are_shown_as_a_tree(client: Client) -> None:
    app = image("tree")
    sbom = artifact(SPDX, "sbom.json", spdx(1), SPDX, app)
    signature = artifact("application/vnd.cncf.notary.signature", "s", b"{}", "application/jose+json", sbom)
    client.push("content/tree", app, "1")
    client.push("content/tree", sbom)
    client.push("content/tree", signature)
    text = page(client, "/image/content%2Ftree/tag/1")
    first, second = text.index(f"{sbom.digest}/content"), text.index(f"{signature.digest}/content")
    assert first < second
    assert 'class="name depth2"' in text[first:second]
    assert "SBOM (SPDX)" in text
    assert "Notation signature" in text


def test_a_deep_tree_of_referrers_is_cut(client: Client) -> None:
    subject = image("deep")
    client.push("content/deep", subject, "1")
    for level in range(8):
        subject = artifact("application/x", "f", b"%d" % level, "text/plain", subject)
        client.push("content/deep", subject)
    assert page(client, "/image/content%2Fdeep/tag/1").count('class="name depth') == DEPTH_LIMIT


def test_many_referrers_are_cut(client: Client) -> None:
    app = image("crowd")
    client.push("content/crowd", app, "1")
    for number in range(ROWS_LIMIT + 3):
        client.push("content/crowd", artifact("application/x", "f", b"%d" % number, "text/plain", app))
    text = page(client, "/image/content%2Fcrowd/tag/1")
    assert text.count('class="name depth1"') == ROWS_LIMIT
    assert "and more" in text


def test_packages_of_an_sbom_are_paged_and_filtered(client: Client) -> None:
    address = pushed(client, "content/sbom", spdx(120), SPDX)
    first = page(client, address)
    assert "package-49<" in first
    assert "package-50<" not in first.partition("As it was written")[0]
    assert "of 120" in first
    assert "package-119<" in page(client, f"{address}?offset=100")
    found = page(client, f"{address}?filter=PACKAGE-77@")
    assert "1 package<" in found
    assert "package-77<" in found
    assert "No package has" in page(client, f"{address}?filter=nothing-like-it")


def test_an_attestation_is_decoded(client: Client) -> None:
    predicate = {"runDetails": {"builder": {"id": "https://example.org/builder"}}}
    content = envelope(statement("https://slsa.dev/provenance/v1", predicate))
    text = page(client, pushed(client, "content/provenance", content, "application/vnd.in-toto+json"))
    assert "SLSA provenance" in text
    assert 'href="https://example.org/builder" rel="noopener noreferrer nofollow"' in text
    assert "not verified here" in text


def test_a_statement_with_an_sbom_lists_packages(client: Client) -> None:
    content = statement("https://spdx.dev/Document", json.loads(spdx(3)))
    text = page(client, pushed(client, "content/inner", content, "application/vnd.in-toto+json"))
    assert '<td class="name">package-2</td>' in text


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (b"plain <b>text</b>", "plain &lt;b&gt;text"),
        (b'{"a": {"b": 1}}', "&#34;a&#34;: {\n"),
        (b"\0\1\2", "no text"),
        (b"\xff\xfe", "no text"),
        (b"[" * 70_000, "download</a> all of it"),
        (b"x" * 70_000, "download</a> all of it"),
        (b"x" * (DOCUMENT_LIMIT_BYTES + 1), "oras blob fetch"),
    ],
)
def test_any_other_file_is_shown_or_downloaded(client: Client, content: bytes, shown: str) -> None:
    address = pushed(client, "content/other", content, "application/octet-stream")
    text = page(client, address)
    assert shown in text
    answer = client.get(f"{address}?download=yes")
    if len(content) > DOCUMENT_LIMIT_BYTES:
        assert answer.status == 404
        return
    assert answer.body == content
    assert (answer["Content-Type"], answer["X-Content-Type-Options"]) == ("application/octet-stream", "nosniff")
    assert (answer["Content-Disposition"] or "").startswith("attachment;")
    assert "sandbox" in (answer["Content-Security-Policy"] or "")


@pytest.mark.parametrize(
    "name", ["a\r\nSet-Cookie: x=1", "../../etc/passwd", 'a"; x="', "ünï", "", "x" * 4000, HOSTILE]
)
def test_a_hostile_name_of_a_file_stays_a_name(client: Client, name: str) -> None:
    address = pushed(client, "content/names", name.encode() + b"!", "text/plain", name)
    assert "<script>alert" not in page(client, address)
    answer = client.get(f"{address}?download=yes")
    assert answer.status == 200
    assert answer["Set-Cookie"] is None
    disposition = answer["Content-Disposition"] or ""
    assert all(each not in disposition.partition("''")[2] for each in '/\\"; \r\n')


def test_hostile_documents_run_nothing(client: Client) -> None:
    documents = [
        (spdx(3, HOSTILE), SPDX),
        (
            envelope(statement(HOSTILE, {"builder": {"id": "javascript:alert(1)"}, "buildType": HOSTILE}, HOSTILE)),
            "x/y",
        ),
        (
            json.dumps({"bomFormat": "CycloneDX", "specVersion": HOSTILE, "components": [{"name": HOSTILE}]}).encode(),
            "x/z",
        ),
        (HOSTILE.encode(), "text/markdown"),
        (HOSTILE.encode(), "text/html"),
        (f"<svg onload=alert(1)>{HOSTILE}".encode(), "image/svg+xml"),
    ]
    for content, media_type in documents:
        text = page(client, pushed(client, "content/hostile", content, media_type))
        assert "<script>alert" not in text
        assert "<img" not in text
        assert "<svg" not in text
        assert 'href="javascript:' not in text


def test_a_file_of_another_manifest_is_not_given(client: Client) -> None:
    """Of what a query names, only files of that artifact are opened."""
    other = image("not of it")
    client.push("content/own", other, "1")
    address = pushed(client, "content/own", b"mine", "text/plain")
    layer = json.loads(other.content)["layers"][0]["digest"]
    assert client.get(f"{address}?file={layer}&download=yes").body == b"mine"
    assert client.get(f"/image/content%2Fown/digest/{'sha256:' + '0' * 64}/content").status == 404


def test_a_document_of_a_hidden_repository_is_missing(guarded: RunningRegistry) -> None:
    admin = Client(guarded.host, user="admin:admin")
    address = pushed(admin, "secret/app", b"secret words", "text/plain")
    cookie = log_in(Client(guarded.host), "alice")
    for query in ("", "?download=yes"):
        assert Client(guarded.host).get(address + query, **cookie).status == 404


# --- README ---


def repository(client: Client, name: str, *images: Image) -> str:
    """Push an image under the tag `1`, then others by digest; return the address of the README."""
    client.push(name, image(name), "1")
    for each in images:
        client.push(name, each)
    return f"/image/{name.replace('/', '%2F')}/readme"


def test_a_readme_that_is_attached_to_an_image_is_shown(client: Client) -> None:
    text = page(client, repository(client, "readme/attached", readme("# Hello", image("readme/attached"))))
    assert "<h2>Hello</h2>" in text


def test_a_readme_under_its_own_tag_comes_first(client: Client) -> None:
    address = repository(client, "readme/own", readme("# Attached", image("readme/own")))
    client.push("readme/own", readme("# Own"), "readme")
    assert "<h2>Own</h2>" in page(client, address)


def test_a_repository_without_a_readme_says_how_to_get_one(client: Client) -> None:
    text = page(client, repository(client, "readme/none"))
    assert f"oras attach --plain-http --artifact-type text/markdown {client.host}/readme/none:1 README.md" in text
    assert client.get("/image/readme%2Fmissing/readme").status == 404


def test_a_hostile_readme_runs_nothing(client: Client) -> None:
    text = page(client, repository(client, "readme/hostile", readme(HOSTILE * 900, image("readme/hostile"))))
    assert "<script>alert" not in text
    assert "<img" not in text
    assert "&lt;script&gt;" in text


def test_a_readme_of_another_kind_is_none(client: Client) -> None:
    wrong = artifact("text/markdown", "archive.bin", b"\0\1", "application/octet-stream", image("readme/wrong"))
    assert "oras attach" in page(client, repository(client, "readme/wrong", wrong))


def test_an_indented_document_is_no_longer_than_what_is_shown_of_it(client: Client) -> None:
    """Indented, a deeply nested document has a line of its own depth for each number."""
    nested = b"[" * 500 + b"0," * 20_000 + b"0" + b"]" * 500
    plain = image("nested")
    client.push(
        "content/nested", Image(plain.content[:-1] + b',"x":' + nested + b"}", plain.media_type, plain.blobs), "1"
    )
    raw = client.get("/image/content%2Fnested/tag/1/raw")
    assert raw.status == 200
    assert len(raw.body) < 1 << 20
    assert indented(nested, 1000) == ((json.dumps(json.loads(nested), indent=2)[:1000]), True)
    assert indented(b'{"a": "\xc3\xa9", "b": []}', 1000) == ('{\n  "a": "\xe9",\n  "b": []\n}', False)
    assert indented(b'["\\ud800"]', 1000) == ('[\n  "?"\n]', False)
    assert indented(b"{no json\xff", 6) == ("{no js", True)
