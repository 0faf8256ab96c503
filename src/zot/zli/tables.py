"""Records as text, to the letter as zot's zli prints them: columns without borders, padded with spaces."""

from collections.abc import Iterable, Iterator, Sequence

import click

from zot.oci.media_types import INDEXES
from zot.zli.records import (
    CveCounts,
    CveRecord,
    ImageIdentifierRecord,
    ImageRecord,
    ManifestRecord,
    PackageRecord,
    PlatformRecord,
    ReferrerRecord,
    RepositoryRecord,
    Time,
)

_DIGEST, _SIGNED, _SIZE, _PLATFORM, _COUNT = 8, 6, 10, 16, 10
_CVE_WIDTHS = (16, 8, 48, 35, 30, 20, 20)
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")


class ImageTable:
    """Images by name, tag, platform, digest, signature and size; `verbose`: with config and layers.

    Of each image it holds the rows alone, as one string: a list may have 100,000 of them.
    """

    def __init__(self, *, verbose: bool) -> None:
        self._verbose = verbose
        self._images: list[str] = []
        self._name, self._tag, self._platform = len("REPOSITORY"), 8, _PLATFORM

    def add(self, image: ImageRecord) -> None:
        """Add an image to the end."""
        rows = [tuple(map(printable, row)) for row in self._rows(image)]
        self._name = max(self._name, len(image.repo_name))
        self._tag = max(self._tag, len(image.tag))
        self._platform = max(self._platform, *(len(row[2]) for row in rows))
        self._images.append("\n".join("\t".join(row) for row in rows))

    def print(self) -> None:
        """Print header and rows, or nothing when there is no image."""
        if not self._images:
            return
        # The columns of config and layers stay, one space wide, when they are not shown.
        extra = 8 if self._verbose else 1
        widths = (self._name, self._tag, self._platform, _DIGEST, extra, _SIGNED, extra, _SIZE)
        config, layers = ("CONFIG", "LAYERS") if self._verbose else ("", "")
        click.echo(_line(("REPOSITORY", "TAG", "OS/ARCH", "DIGEST", config, "SIGNED", layers, "SIZE"), widths))
        for image in self._images:
            click.echo("\n".join(_line(row.split("\t"), widths) for row in image.split("\n")))

    def _rows(self, image: ImageRecord) -> Iterator[tuple[str, ...]]:
        manifests = image.manifests or []
        named = (image.repo_name, image.tag)
        if image.media_type in INDEXES or not manifests:
            platform = "*" if image.media_type in INDEXES else ""
            signed = _boolean(image.is_signed)
            yield (*named, platform, _short(image.digest), "", signed, "", _compact_size(image.size))
            named = ("", "")
        for manifest in manifests:
            yield from self._manifest_rows(named, manifest)

    def _manifest_rows(self, named: tuple[str, str], manifest: ManifestRecord) -> Iterator[tuple[str, ...]]:
        config = _short(manifest.config_digest) if self._verbose else ""
        signed, size = _boolean(manifest.is_signed), _compact_size(manifest.size)
        yield (*named, platform_text(manifest.platform), _short(manifest.digest), config, signed, "", size)
        if self._verbose:
            for layer in manifest.layers or ():
                yield ("", "", "", "", "", "", _short(layer.digest), _compact_size(layer.size))


def print_repositories(repositories: Sequence[RepositoryRecord], *, verbose: bool) -> None:
    """Print a table of repositories, or nothing when there is none; `verbose`: with all their platforms."""
    if not repositories:
        return
    times = [_go_time(each.last_updated) for each in repositories]
    name = max(len("NAME"), *(len(each.name) for each in repositories))
    time = max(len("LAST UPDATED"), *map(len, times))
    widths = (name, _SIZE, time, _COUNT, _COUNT, _PLATFORM)
    heading = "PLATFORMS" if verbose else ""
    click.echo(_line(("NAME", "SIZE", "LAST UPDATED", "DOWNLOADS", "STARS", heading), widths))
    for each, updated in zip(repositories, times, strict=True):
        platforms = [platform_text(platform) for platform in each.platforms or ()] if verbose else []
        first, *others = platforms or [""]
        counts = (str(each.download_count), str(each.star_count))
        click.echo(_line((each.name, _compact_size(each.size), updated, *counts, first), widths))
        for other in others:
            click.echo(_line(("", "", "", "", "", other), widths))


def print_referrers(referrers: Sequence[ReferrerRecord]) -> None:
    """Print a table of referrers; without any, its header alone."""
    kind = max([len("ARTIFACT TYPE"), *(len(each.artifact_type) for each in referrers)])
    click.echo(_line(("ARTIFACT TYPE", "SIZE", "DIGEST"), (kind, _SIZE, _DIGEST)))
    for each in referrers:
        click.echo(_line((each.artifact_type, size_text(each.size), each.digest), (kind, _SIZE, _DIGEST)))


def print_difference_header(minuend: ImageIdentifierRecord, subtrahend: ImageIdentifierRecord) -> None:
    """Print which images are compared."""
    click.echo(f"CVEs in image {_identifier(minuend)} that are not in image {_identifier(subtrahend)}\n")


def print_vulnerabilities(vulnerabilities: Sequence[CveRecord], summary: CveCounts, *, verbose: bool) -> None:
    """Print how many there are of each severity, and each with its packages; `verbose`: with its description."""
    click.echo(
        f"CRITICAL {summary.critical_count}, HIGH {summary.high_count}, MEDIUM {summary.medium_count}, "
        f"LOW {summary.low_count}, UNKNOWN {summary.unknown_count}, TOTAL {summary.count}\n"
    )
    if verbose:
        for each in vulnerabilities:
            click.echo(_details(each))
        return
    headings = ("ID", "SEVERITY", "TITLE", "VULNERABLE PACKAGE", "PATH", "INSTALL-VER", "FIXED-VER")
    click.echo(_line(headings, _CVE_WIDTHS))
    # Without any package the rows have three columns.
    columns = 7 if any(each.package_list for each in vulnerabilities) else 3
    for each in vulnerabilities:
        click.echo(_cut_line((each.id, each.severity, each.title, "", "", "", "")[:columns]))
        for package in each.package_list or ():
            click.echo(_cut_line(("", "", "", *_package_cells(package))))


def print_table(headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows below their headings, or nothing when there is none; columns are as wide as their longest cell."""
    if not rows:
        return
    shown = [headings, *(tuple(map(printable, row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        click.echo(_line(row, widths).rstrip())


def printable(text: str, kept: str = "") -> str:
    """Return text of a client without characters that a terminal acts on, but with those of `kept`."""
    return "".join(each if each.isprintable() or each in kept else f"\\x{ord(each):02x}" for each in text)


def platform_text(platform: PlatformRecord) -> str:
    """Return a platform as `os/arch`."""
    return "/".join(part for part in (platform.os, platform.arch, platform.variant if platform.arch else "") if part)


def size_text(size_bytes: int) -> str:
    """Return a size in decimal units, with one digit behind the point below 10."""
    if size_bytes < 10:
        return f"{size_bytes} B"
    power = 0
    while power < len(_UNITS) - 1 and size_bytes >= 1000 ** (power + 1):
        power += 1
    value = int(size_bytes / 1000**power * 10 + 0.5) / 10
    return f"{value:.1f} {_UNITS[power]}" if value < 10 else f"{value:.0f} {_UNITS[power]}"


def _compact_size(text: str) -> str:
    return size_text(int(text) if text.isdecimal() else 0).replace(" ", "")


def _details(each: CveRecord) -> str:
    lines = [each.id, f"Severity: {each.severity}", f"Title: {each.title}", "Description:"]
    lines += [each.description.strip() or "Not Specified", "", "Vulnerable Packages:"]
    for package in each.package_list or ():
        lines += [
            f" Package Name: {package.name}",
            f" Package Path: {package.package_path}",
            f" Installed Version: {package.installed_version}",
            f" Fixed Version: {package.fixed_version}",
            "",
        ]
    if not each.package_list:
        lines += ["No Vulnerable Packages", ""]
    return "\n".join([*lines, ""])


def _package_cells(package: PackageRecord) -> tuple[str, ...]:
    return (package.name, package.package_path or "-", package.installed_version, package.fixed_version)


def _identifier(image: ImageIdentifierRecord) -> str:
    if not image.repo:
        return "unknown image"
    reference = f":{image.tag}" if image.tag else f"@{image.digest}" if image.digest else ""
    platform = image.platform
    where = f" ({platform.os}/{platform.arch})" if platform.os and platform.arch else ""
    return f"{image.repo}{reference}{where}"


def _go_time(time: Time) -> str:
    """Return a time as Go prints it: `2026-11-28 08:32:53.223314177 +0000 UTC`."""
    day, _, clock = time.partition("T")
    clock, zone = (clock[:-1], "+0000 UTC") if clock.endswith("Z") else (clock[:-6], _zone(clock[-6:]))
    seconds, _, fraction = clock.partition(".")
    fraction = fraction.rstrip("0")
    return f"{day} {seconds}{f'.{fraction}' if fraction else ''} {zone}"


def _zone(offset: str) -> str:
    digits = offset.replace(":", "")
    return "+0000 UTC" if digits == "+0000" else f"{digits} {digits}"


def _boolean(value: bool) -> str:
    return "true" if value else "false"


def _short(digest: str) -> str:
    return digest.partition(":")[2][:_DIGEST]


def _line(cells: Iterable[str], widths: Iterable[int]) -> str:
    return " ".join(printable(cell).ljust(width) for cell, width in zip(cells, widths, strict=True))


def _cut_line(cells: Sequence[str]) -> str:
    """Return a row of vulnerabilities, whose cells are cut to the widths of their columns."""
    shown = [_cut(cell, width) for cell, width in zip(cells, _CVE_WIDTHS, strict=False)]
    return _line(shown, _CVE_WIDTHS[: len(shown)])


def _cut(text: str, width: int) -> str:
    text = text.strip()
    return text if len(text) <= width else text[: width - 3] + "..."
