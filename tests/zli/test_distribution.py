"""Commands that ask by the distribution API: a registry of this tree without the search extension."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from http_client import Client
from layout.images import DOCKER_MANIFEST, INDEX, MANIFEST, Image, image, sha256
from zli.conftest import Zli, answering
from zot.testing import RunningRegistry, serve

CONFIG = "application/vnd.oci.image.config.v1+json"
SIGNATURE = "application/vnd.dev.cosign.artifact.sig.v1+json"


def made(name: str, created: str, arch: str = "amd64") -> Image:
    """Return an image of a time and a platform."""
    config = json.dumps({"created": created, "os": "linux", "architecture": arch}).encode()
    plain = image(name)
    document = json.loads(plain.content)
    document["config"] = {"mediaType": CONFIG, "digest": sha256(config), "size": len(config)}
    return Image(json.dumps(document).encode(), MANIFEST, (config, plain.blobs[1]))


def multi(*children: Image) -> Image:
    """Return an index with a platform for the last child alone."""
    platforms: list[dict[str, Any]] = [{}] * (len(children) - 1) + [
        {"platform": {"os": "linux", "architecture": "arm64", "variant": "v8"}}
    ]
    manifests = [child.descriptor(**more) for child, more in zip(children, platforms, strict=True)]
    return Image(
        json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}).encode(), INDEX, (), children
    )


OLD = made("old", "2026-01-01T00:00:00Z")
NEW = made("new", "2026-03-01T00:00:00Z")
BOTH = multi(made("amd", "2026-02-01T00:00:00Z"), made("arm", "2026-02-01T00:00:00Z", "arm64"))
DOCKER = image("docker", DOCKER_MANIFEST)


def referrer(subject: Image, kind: str) -> Image:
    """Return an artifact about an image."""
    document = json.loads(image(kind, subject=subject).content)
    document |= {"artifactType": kind, "annotations": {"org.example.result": "pass"}}
    return Image(json.dumps(document).encode(), MANIFEST, image(kind).blobs)


@pytest.fixture(scope="module")
def registry() -> Iterator[RunningRegistry]:
    """Serve images: one signed by a referrer, one by a tag."""
    with serve(memory=True) as registry:
        client = Client(registry.host)
        client.push("team/app", OLD, "v2")
        client.push("team/app", NEW, "v10", "latest")
        client.push("team/app", referrer(OLD, SIGNATURE))
        client.push("team/app", referrer(OLD, "application/spdx+json"))
        client.push("infra/dns", BOTH, "1.0")
        client.push("infra/dns", image("signature"), f"{BOTH.digest.replace(':', '-')}.sig")
        client.push("legacy/docker", DOCKER, "old")
        yield registry


def short(each: Image) -> str:
    """Return the part of a digest that a table shows."""
    return each.digest[7:15]


def cells(text: str) -> list[list[str]]:
    """Return the cells of a table's rows."""
    return [line.split() for line in text.splitlines()[1:]]


def test_all_images_are_listed_in_order(zli: Zli, registry: RunningRegistry) -> None:
    """By name, with platforms and signatures; the tags of signatures are no images."""
    rows = cells(zli("image", "list", "--url", registry.url))
    amd, arm = BOTH.children
    assert [row[:-1] for row in rows] == [
        ["infra/dns", "1.0", "*", short(BOTH), "true"],
        ["linux/amd64", short(amd), "false"],
        ["linux/arm64/v8", short(arm), "false"],
        ["legacy/docker", "old", short(DOCKER), "false"],
        ["team/app", "latest", "linux/amd64", short(NEW), "false"],
        ["team/app", "v2", "linux/amd64", short(OLD), "true"],
        ["team/app", "v10", "linux/amd64", short(NEW), "false"],
    ]


@pytest.mark.parametrize(
    ("order", "tags"),
    [
        ("alpha-asc", ["1.0", "old", "latest", "v2", "v10"]),
        ("alpha-dsc", ["v10", "v2", "latest", "old", "1.0"]),
        ("update-time", ["latest", "v10", "1.0", "v2", "old"]),
    ],
)
def test_images_are_sorted(zli: Zli, registry: RunningRegistry, order: str, tags: list[str]) -> None:
    """By name either way, or the latest first."""
    words = ("image", "list", "--sort-by", order, "--url", registry.url, "-f", "jsonl")
    assert [json.loads(line)["tag"] for line in zli(*words).splitlines()] == tags
    assert [json.loads(line)["tag"] for line in zli(*words, "--limit", "2").splitlines()] == tags[:2]


def test_an_image_is_shown_with_its_layers(zli: Zli, registry: RunningRegistry) -> None:
    """Its size is that of manifest, config and layers."""
    (line,) = zli("image", "name", "team/app:v2", "--url", registry.url, "-f", "json").splitlines()
    shown = json.loads(line)
    assert shown["size"] == str(len(OLD.content) + sum(map(len, OLD.blobs)))
    (manifest,) = shown["manifests"]
    assert (manifest["digest"], manifest["configDigest"]) == (OLD.digest, sha256(OLD.blobs[0]))
    assert [layer["digest"] for layer in manifest["layers"]] == [sha256(OLD.blobs[1])]
    rows = cells(zli("image", "name", "team/app:v2", "--verbose", "--url", registry.url))
    assert rows[1][0] == sha256(OLD.blobs[1])[7:15]


def test_no_such_image_prints_nothing(zli: Zli, registry: RunningRegistry) -> None:
    """No such repository is an error, as zot's zli has it."""
    assert zli("image", "name", "team/app:nope", "--url", registry.url) == ""
    assert zli.refused("image", "name", "nope", "--url", registry.url) == "Error: no repository found\n"


def test_a_repository_that_goes_meanwhile_is_left_out(zli: Zli) -> None:
    """The catalog had it; any other failure is an error."""
    gone = b'{"errors": [{"code": "NAME_UNKNOWN"}]}'
    answers = {
        "/v2/_catalog?n=1000": (200, b'{"repositories": ["a", "b"]}'),
        "/v2/a/tags/list": (404, gone),
        "/v2/b/tags/list": (200, b'{"tags": null}'),
    }
    with answering(answers) as url:
        assert zli("image", "list", "--url", url) == ""
        answers["/v2/a/tags/list"] = (503, b"")
        assert "Got: 503" in zli.refused("image", "list", "--url", url)


def test_referrers_are_listed(zli: Zli, registry: RunningRegistry) -> None:
    """Of a tag or a digest, in all formats."""
    rows = cells(zli("search", "subject", "team/app:v2", "--url", registry.url))
    assert sorted(row[0] for row in rows) == ["application/spdx+json", SIGNATURE]
    assert zli("search", "subject", f"team/app@{OLD.digest}", "--url", registry.url).splitlines()[1:]
    documents = yaml.safe_load(zli("search", "subject", "team/app:v2", "--url", registry.url, "-f", "yaml"))
    assert documents[0]["annotations"] == [{"key": "org.example.result", "value": "pass"}]
    assert zli("search", "subject", "team/app:v10", "--url", registry.url) == "ARTIFACT TYPE SIZE       DIGEST  \n"
    assert "Got: 404" in zli.refused("search", "subject", "team/app:nope", "--url", registry.url)


def test_repositories_are_listed_page_by_page(
    zli: Zli, registry: RunningRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the size of a page, and in either order."""
    names = ["infra/dns", "legacy/docker", "team/app"]
    for size in (1, 2, 1000):
        monkeypatch.setattr("zot.zli.distribution._PAGE_SIZE", size)
        assert zli("repo", "list", "--url", registry.url) == "\n".join(["", "REPOSITORY NAME", *names, ""])
        said = zli("repo", "list", "--sort-by", "alpha-dsc", "--limit", "2", "--url", registry.url)
        assert said.splitlines()[2:] == names[:0:-1]
        assert zli("repo", "list", "--limit", "2", "--url", registry.url).splitlines()[2:] == names[:2]
    assert json.loads(zli("repo", "list", "--limit", "1", "--url", registry.url, "-f", "json")) == {"name": names[0]}


def test_a_list_that_goes_on_elsewhere_is_not_followed(zli: Zli) -> None:
    """The password is for this host."""
    answers = {"/v2/_catalog?n=1000": (200, b'{"repositories": ["a"]}')}
    with answering(answers, {"Link": '<http://127.0.0.2/v2/_catalog?last=a>; rel="next"'}) as url:
        done = zli.run("repo", "list", "--url", url)
    assert (done.exit_code, done.stdout) == (1, "\nREPOSITORY NAME\na\n")
    assert "the list goes on at another host: http://127.0.0.2/v2/_catalog?last=a" in done.stderr


def test_a_registry_without_a_catalog_is_an_error(zli: Zli) -> None:
    """With its answer, and without a header before it."""
    with answering({}) as url:
        assert zli.refused("repo", "list", "--url", url) == "Error: url not found: Expected: 200, Got: 404, Body: ''\n"
