from pathlib import Path

from zot.oci.digest import digest_of
from zot.zb.blobs import IMAGE_CONFIG, IMAGE_CONFIG_DIGEST, LARGE, SMALL, prepared


async def test_chunks_are_the_content_that_the_digest_names(tmp_path: Path) -> None:
    """What is sent piece by piece has the size and the digest that are announced."""
    with prepared([SMALL], tmp_path) as blobs:
        blob = blobs[SMALL]
        content = b"".join([bytes(chunk) async for chunk in blob.chunks()])
    assert len(content) == blob.size == SMALL
    assert digest_of(content) == blob.digest


def test_each_run_has_blobs_of_its_own_and_leaves_none(tmp_path: Path) -> None:
    """Blobs of two runs differ, so that a registry has none of them yet, and are gone afterwards."""
    folder = tmp_path / "not" / "there" / "yet"
    with prepared([SMALL], folder) as first, prepared([SMALL], folder) as second:
        assert first[SMALL].digest != second[SMALL].digest
        assert first[SMALL].path.is_relative_to(folder)
    assert list(folder.iterdir()) == []


def test_shrinking_keeps_one_page(tmp_path: Path) -> None:
    """A trial run divides the sizes, but never below the page that makes a blob unique."""
    with prepared([SMALL, LARGE], tmp_path, shrink=1024) as blobs:
        assert [blobs[size].size for size in (SMALL, LARGE)] == [4096, LARGE // 1024]


def test_the_config_is_what_its_digest_names() -> None:
    """The config blob and its digest belong together."""
    assert digest_of(IMAGE_CONFIG) == IMAGE_CONFIG_DIGEST
