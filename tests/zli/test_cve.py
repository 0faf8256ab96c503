"""`zli cve` for pipelines: exit statuses, and a server that is not ready."""

import json

import pytest

from zli.conftest import Zli
from zli.recorded_zot import RecordedZot, transcript

DEBIAN = "library/debian:12"  # with one critical vulnerability
CLI = ("cve", "diff", "tools/cli:v1", "library/alpine:3.20")  # none is critical


@pytest.mark.parametrize("form", ["text", "json", "jsonl", "yaml"])
@pytest.mark.parametrize(
    ("words", "severity", "status"),
    [
        (("cve", "list", DEBIAN), "critical", 3),
        (("cve", "list", DEBIAN), "UNKNOWN", 3),
        (("image", "cve", DEBIAN), "LOW", 3),
        (("cve", "list", DEBIAN, "--cve-id", "0004"), "critical", 0),
        (("cve", "list", DEBIAN, "--cve-id", "0004"), "high", 3),
        (("cve", "list", DEBIAN, "--limit", "1", "--sort-by", "alpha-dsc"), "critical", 3),
        (CLI, "critical", 0),
        (CLI, "high", 3),
        ((*CLI, "--limit", "1"), "low", 3),
    ],
)
def test_the_exit_status_tells_of_bad_vulnerabilities(
    zli: Zli, zot: RecordedZot, words: tuple[str, ...], severity: str, status: int, form: str
) -> None:
    """3 for one of the severity or worse, whether it is shown or beyond --limit; the output is the same."""
    if "alpha-dsc" in words:
        zot.answers[f"CVEListForImage {DEBIAN} ALPHABETIC_DSC"] = zot.answers[f"CVEListForImage {DEBIAN}"]
    plain = zli(*words, "--url", zot.url, "-f", form)
    done = zli.run(*words, "--url", zot.url, "-f", form, "--fail-on", severity)
    assert (done.exit_code, done.stdout, done.stderr) == (status, plain, "")


def test_a_server_that_cannot_tell_is_status_1(zli: Zli, zot: RecordedZot) -> None:
    """An error is never mistaken for a clean image, nor for a vulnerable one."""
    assert "scanning is not supported" in zli.refused(
        "cve", "list", "charts/shop:1.0.0", "--url", zot.url, "--fail-on", "low"
    )


def test_an_image_without_vulnerabilities_is_said(zli: Zli, zot: RecordedZot) -> None:
    """By a sentence in text, and by an empty document for programs."""
    zot.answers["CVEListForImage a:1"] = {"Tag": "1", "CVEList": [], "Summary": {"Count": 0, "MaxSeverity": "NONE"}}
    words = ("cve", "list", "a:1", "--fail-on", "unknown", "--url", zot.url)
    assert zli(*words) == "No CVEs found for image\n"
    said = json.loads(zli(*words, "-f", "json"))
    assert (said["Tag"], said["CVEList"], said["Summary"]["maxSeverity"]) == ("1", [], "NONE")
    assert zli(*words, "-f", "jsonl") == ""


def test_a_database_that_is_not_there_yet_is_waited_for(
    zli: Zli, zot: RecordedZot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a warning for each attempt, on standard error."""
    monkeypatch.setattr("zot.zli.search_client._RETRY_S", 0.01)
    key = f"CVEListForImage {DEBIAN}"
    answer = zot.answers[key]
    not_ready = {"errors": ["cve-db is not present"]}
    answers = iter([not_ready, not_ready, answer])
    query = zot.query

    def changing(text: str) -> tuple[int, object]:
        zot.answers[key] = next(answers, not_ready)
        return query(text)

    monkeypatch.setattr(zot, "query", changing)
    done = zli.run("cve", "list", DEBIAN, "--url", zot.url)
    assert done.stdout == transcript("25").stdout
    assert done.stderr == "".join(
        f"[warning] CVE DB is not ready [{attempt}] - retry in 0 seconds\n" for attempt in (1, 2)
    )
    done = zli.run("cve", "list", DEBIAN, "--url", zot.url)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.count("[warning]") == 19
    assert done.stderr.endswith("Error: cve-db is not present\n\n")


def test_fixed_images_can_be_sorted(zli: Zli, zot: RecordedZot) -> None:
    """The server's order is the default, the latest first; zot's zli ignores --sort-by."""
    words = ("cve", "fixed", "team/api", "CVE-2099-0001", "--url", zot.url)
    assert zli(*words) == transcript("27").stdout
    zli(*words, "--sort-by", "alpha-asc")
    assert ["sortBy: ALPHABETIC_ASC" in each for each in zot.queries] == [False, True]


def test_a_package_without_a_path_and_no_package_are_shown(zli: Zli, zot: RecordedZot) -> None:
    """By a dash, by three columns, and in words."""
    cve = {"Id": "CVE-1", "Severity": "LOW", "Title": "t" * 60, "Description": " ", "PackageList": []}
    zot.answers["CVEListForImage a:1"] = {"Tag": "1", "CVEList": [cve], "Summary": {"Count": 1, "LowCount": 1}}
    row = zli("cve", "list", "a:1", "--url", zot.url).splitlines()[3]
    assert row == f"{'CVE-1':16} {'LOW':8} {'t' * 45}..."
    said = zli("cve", "list", "a:1", "--verbose", "--url", zot.url)
    assert "Description:\nNot Specified\n\nVulnerable Packages:\nNo Vulnerable Packages\n" in said
