"""The list of a layer has what its archive has, and a hostile archive ends the list, never the process."""

from __future__ import annotations

import gzip
import hashlib
import io
import itertools
import tarfile
import tracemalloc
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extensions.layers.archives import archive, chunks, compressed, entry, files, link
from zot.extensions.layers.decompression import PIECE_BYTES
from zot.extensions.layers.interface import IMPLIED_MODE, LayerFile, LayerFileKind
from zot.extensions.layers.tar_list import ListBounds, TarList, clean_path

BLOCK = 512


def listed(layer: bytes | Iterator[bytes], bounds: ListBounds | None = None) -> tuple[TarList, list[LayerFile]]:
    """Return a list at its end, and what it has yielded."""
    made = TarList(chunks(layer) if isinstance(layer, bytes) else layer, bounds)
    return made, list(made.files())


def text(name: str) -> bytes:
    """Return the bytes of a name; the library cuts some within a character."""
    return name.encode("utf-8", "surrogateescape")


NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), min_size=1, max_size=120).filter(
    lambda name: name not in {".", ".."} and not name.startswith(".wh.")
)
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)


@st.composite
def entries(draw: st.DrawFn) -> tuple[tarfile.TarInfo, bytes]:
    """An entry of any kind."""
    kind = draw(st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE]))
    content = draw(st.binary(max_size=2000)) if kind == tarfile.REGTYPE else b""
    return entry(
        draw(PATHS),
        content,
        type=kind,
        mode=draw(st.integers(0, 0o7777)),
        uid=draw(st.integers(0, 2**31)),
        gid=draw(st.integers(0, 2**31)),
        uname=draw(NAMES)[:30],
        mtime=draw(st.integers(0, 2**33)),
        linkname=draw(PATHS) if kind in {tarfile.SYMTYPE, tarfile.LNKTYPE} else "",
    )


@given(
    st.lists(entries(), max_size=12),
    st.sampled_from(["none", "gzip", "zstd"]),
    st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
    st.integers(1, 3000),
)
def test_a_list_is_what_the_library_reads_of_the_whole_archive(
    given_entries: list[tuple[tarfile.TarInfo, bytes]], how: str, tar_format: int, piece: int
) -> None:
    plain = archive(*given_entries, tar_format=tar_format)
    made = TarList(chunks(compressed(plain, how), piece))
    found = [each for each in made.files() if each.mode != IMPLIED_MODE]
    assert (made.note, made.compression) == ("", how)
    with tarfile.open(fileobj=io.BytesIO(plain), mode="r:", encoding="utf-8") as whole:
        members = whole.getmembers()
        assert len(members) == len(found)
        for member, file in zip(members, found, strict=True):
            assert file.path == clean_path(text(member.name))
            assert (file.mode, file.uid, file.gid) == (member.mode, member.uid, member.gid)
            assert file.user == text(member.uname)[:255]
            assert file.modified_s == int(member.mtime)
            if member.isreg():
                extracted = whole.extractfile(member)
                assert extracted is not None
                content = extracted.read()
                assert file.offset is not None
                assert plain[file.offset : file.offset + file.size] == content
                assert file.sha256 == hashlib.sha256(content).digest()
            elif member.issym():
                assert file.target == text(member.linkname)


@given(st.lists(st.lists(NAMES, min_size=1, max_size=5), max_size=8))
def test_every_directory_of_a_path_is_listed_before_what_is_in_it(paths: list[list[str]]) -> None:
    _, found = listed(archive(*(entry("/".join(each), b"x") for each in paths)))
    seen = {b""}
    for file in found:
        assert file.path.rpartition(b"/")[0] in seen
        seen.add(file.path)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("./etc/passwd", b"etc/passwd"),
        ("/etc/passwd", b"etc/passwd"),
        ("../../etc/passwd", b"etc/passwd"),
        ("a//b/./c", b"a/b/c"),
        ("a/../../b", b"b"),
        ("\udcff\udcfe", b"\xff\xfe"),
    ],
)
def test_a_path_leads_nowhere_outside_of_the_layer(name: str, path: bytes) -> None:
    made, found = listed(archive(entry(name, b"x"), tar_format=tarfile.GNU_FORMAT))
    assert found[-1].path == path
    assert made.note == ""


def test_whiteouts_are_what_they_delete() -> None:
    made, found = listed(archive(entry("a/.wh.b"), entry("c/.wh..wh..opq"), entry(".wh..wh.plnk/x"), entry(".wh.")))
    kinds = {each.path: each.kind for each in found if each.mode != IMPLIED_MODE}
    assert kinds[b"a/b"] is LayerFileKind.WHITEOUT
    assert kinds[b"c"] is LayerFileKind.OPAQUE
    assert made.note == "1 entries with impossible names are left out."


def test_links_and_devices_say_where_they_lead() -> None:
    _, found = listed(
        archive(
            link("s", "../x"),
            link("h", "./a/b", tarfile.LNKTYPE),
            entry("d", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
        )
    )
    assert [(each.kind, each.target) for each in found] == [
        (LayerFileKind.SYMLINK, b"../x"),
        (LayerFileKind.HARD_LINK, b"a/b"),
        (LayerFileKind.CHARACTER_DEVICE, b"1, 3"),
    ]


def test_a_sparse_file_has_its_size_and_no_bytes_in_one_piece() -> None:
    header = bytearray(tarfile.TarInfo("sparse").tobuf(tarfile.GNU_FORMAT))
    header[156:157] = tarfile.GNUTYPE_SPARSE
    header[386:398] = header[398:410] = b"00000000000\0"  # its one piece of data: none
    header[483:495] = b"00000200000\0"
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    made, found = listed(bytes(header) + bytes(2 * BLOCK))
    assert made.note == ""
    assert [(each.size, each.offset, each.sha256) for each in found] == [(0o200000, None, b"")]


def test_members_and_frames_that_follow_each_other_are_one_archive() -> None:
    plain = archive(entry("a", b"x" * 5000), entry("b", b"y"))
    for how in ("gzip", "zstd"):
        layer = b"".join(compressed(part, how) for part in chunks(plain, 700))
        made, found = listed(layer + (bytes(300) if how == "gzip" else b""))
        assert made.note == ""
        assert [each.path for each in found] == [b"a", b"b"]


def test_an_empty_archive_is_an_empty_list() -> None:
    for how in ("none", "gzip", "zstd"):
        made, found = listed(compressed(archive(), how))
        assert (made.is_archive, made.note, found) == (True, "", [])


@pytest.mark.parametrize("content", [b"", b"x", b"no archive" * 100, b'{"a": 1}', b"BZh91AY&SY" + bytes(600)])
def test_what_is_no_archive_says_so(content: bytes) -> None:
    made, found = listed(content)
    assert (made.is_archive, found) == (False, [])
    assert made.note.startswith("No list can be made: it is ")


@pytest.mark.parametrize("how", ["none", "gzip", "zstd"])
def test_a_damaged_archive_is_listed_up_to_the_damage(how: str) -> None:
    whole = compressed(
        archive(*(entry(f"file{each}", hashlib.sha256(bytes([each])).digest() * 300) for each in range(99))), how
    )
    made, found = listed(whole[: len(whole) // 2])
    assert made.is_archive
    assert made.note.startswith("The list ends early: ")
    assert 0 < len(found) < 99
    assert [each.path for each in found] == [f"file{each}".encode() for each in range(len(found))]


@given(st.binary(max_size=64), st.integers(0, 20_000), st.sampled_from(["none", "gzip", "zstd"]), st.booleans())
def test_any_damage_leaves_a_list(noise: bytes, at: int, how: str, recompressed: bool) -> None:
    """Whatever bytes are changed, before compression or after it: the list ends, and nothing is raised."""
    plain = archive(*(entry(f"a/{each}" * 40, b"content" * each, uname="u" * each) for each in range(20)))
    if recompressed:
        plain = plain[:at] + noise + plain[at + len(noise) :]
    layer = compressed(plain, how)
    if not recompressed:
        layer = layer[:at] + noise + layer[at + len(noise) :]
    _, found = listed(layer)
    assert all(isinstance(each, LayerFile) for each in found)


@given(st.binary(max_size=3000))
def test_any_headers_leave_a_list(noise: bytes) -> None:
    """A valid first header, and anything after it."""
    _, found = listed(tarfile.TarInfo("first").tobuf(tarfile.GNU_FORMAT) + noise)
    assert found[0].path == b"first"


# --- bombs: bounded by what is counted ---


def zeros(count: int) -> Iterator[bytes]:
    """Yield a gzip stream of so many MiB of zeros, after the header of a file that has them."""
    squeeze = zlib.compressobj(1, wbits=31)
    yield squeeze.compress(entry("zeros", size=count << 20)[0].tobuf(tarfile.GNU_FORMAT))
    block = bytes(1 << 20)
    for _ in range(count):
        yield squeeze.compress(block)
    yield squeeze.flush()


def test_a_layer_that_expands_too_far_is_not_read_further() -> None:
    taken = 0

    def counted() -> Iterator[bytes]:
        nonlocal taken
        for each in filter(None, zeros(40)):
            taken += len(each)
            yield each

    bounds = ListBounds(ratio=100, ratio_from_bytes=1 << 20)
    made, found = listed(counted(), bounds)
    assert "more than 100 times larger" in made.note
    assert (found, taken < 150_000) == ([], True)
    made, _ = listed(filter(None, zeros(40)), ListBounds(archive_bytes=16 << 20))
    assert "more than 16 MiB when it is decompressed" in made.note
    assert made.size <= 17 << 20


def test_a_bomb_is_held_in_pieces() -> None:
    bomb = gzip.compress(bytes((50 << 20) + 2 * BLOCK), 1)
    header = gzip.compress(entry("zeros", size=50 << 20)[0].tobuf(tarfile.GNU_FORMAT))
    tracemalloc.start()
    try:
        made, found = listed(iter([header + bomb]), ListBounds(ratio=10_000))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (made.note, len(found), found[0].size) == ("", 1, 50 << 20)
    assert peak < 8 * PIECE_BYTES


def test_the_files_of_a_list_are_counted() -> None:
    made, found = listed(archive(*(entry(str(each)) for each in range(50))), ListBounds(files=20))
    assert len(found) == 20
    assert "more than 20 files" in made.note


def test_the_names_of_a_list_are_counted() -> None:
    made, found = listed(archive(*(entry(f"{each}" * 100) for each in range(50))), ListBounds(list_bytes=10_000))
    assert 10 < len(found) < 50
    assert "the names of its files need more" in made.note


@pytest.mark.parametrize("tar_format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_a_name_that_no_file_can_have_is_left_out(tar_format: int) -> None:
    made, found = listed(
        archive(entry("n" * 65_536, b"x"), entry("d/" * 500 + "deep"), entry("b"), tar_format=tar_format)
    )
    assert [each.path for each in found] == [b"b"]
    assert made.note == "2 entries with impossible names are left out."


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_headers_are_not_read_without_a_bound(kind: bytes) -> None:
    """A header that claims to have gigabytes is not read; nor are many that follow each other."""
    first = archive(entry("first"))[:BLOCK]
    claimed = entry("x", type=kind)[0]
    claimed.size = 8 << 30
    made, found = listed(
        itertools.chain([first], [claimed.tobuf(tarfile.GNU_FORMAT)], itertools.repeat(bytes(1 << 20)))
    )
    assert [each.path for each in found] == [b"first"]
    assert "KiB of headers" in made.note
    small = entry("x", b"13 comment=x\n", type=kind)[0].tobuf(tarfile.GNU_FORMAT) + b"13 comment=x\n".ljust(
        BLOCK, b"\0"
    )
    made, found = listed(itertools.chain([first], itertools.repeat(small)))
    assert [each.path for each in found] == [b"first"]
    assert made.note.startswith("The list ends early: ")


def test_a_negative_size_goes_nowhere() -> None:
    header = bytearray(tarfile.TarInfo("x").tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" * 10 + b"\xfc\x00"
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    made, _ = listed(files(a="x")[: 2 * BLOCK] + bytes(header) * 3 + bytes(2 * BLOCK))
    assert made.note.startswith("The list ends early: ")
