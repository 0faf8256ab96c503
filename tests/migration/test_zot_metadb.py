"""Reading zot's database: a file that bbolt wrote, and random damage to it."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zot.accounts.interface import ApiKey
from zot.migration.boltdb import BoltReader, InvalidBoltError
from zot.migration.protobuf import InvalidProtobufError, fields, signed
from zot.migration.zot_metadb import UnreadableEntry, ZotUser, statistics, users
from zot.oci.digest import Digest
from zot.statistics.interface import Statistic

# Written by go.etcd.io/bbolt 1.3.11: alice with a star, a group and an API key, bob whose star is no name, carol, and
# the statistics of team/app.
WRITTEN = zlib.decompress(
    base64.b64decode(
        "eNrt2j1sHEUYBuDdu9g5BQcsV8ENZmsfntmd3Z05icIWUUCQgCBpQCm+3ZmFU9be094dIrIOuUZKkyo1JSUSEi2CCiHRU1mINjRQY2Zu7"
        "zbEyKAUQQ56H91odnZnZ3TfnE6aH89rXFjkD39ae9hxF+tNecV73Ooiv7jIO4u8f/LZjlz7RnoAAAAAAAAAcO74/zL/75yq3z01/1+Wnz"
        "/+4bfjT/feRkQBAAAAAAAAzp9Om3fb9QBm0+XFEoArv2pTz6YrflO+7jfl5+zL75pRtVdW2fi6mdCFU427h+7+2Z377fX6opNjmyaG9nd"
        "oNLrUW15tlpeujT+iME4GQvAoKSiK4yxKUkmci4Q0T4rUyEQoo0SRiSIPeWFSeyviLGcJKxKeExWFpI2Xe92Ntd4vP//4xer60fdf/epv"
        "9npH85IXrFA5zM2mbnszUcZyIUIli5znXCgqskLkUqmkyFQowpSM4EbYnjMViZyEipXiWSrjMJNxvPHixuXe0f2vv33wx8nJib/uPersd"
        "f/W2NSv0T/Fp9teu0FxhzHuLUL2pd8svry0eP6d3zx3Azr/EofBexOqa6PdKIyDwQfBMpjB7e1gr6ru7FN9p318MC3L7eBaXU1H88rafO"
        "zq7b7zxpvmrr1zGMRGSiGV1BRKJlIec81MnBRS50mowjSNEhZpphOiLNM6Ce3QmCINueaxCLV0beS1oYnRu5NgEIQsFH0W91lyk6UDJgd"
        "MvRK/H2wH5pPRsKbJsDqwwTG2JmOM9+efm4wN5h9Xbzi+6moaHQwKKsdmu2m+qm+RfSmf1uWOtNU+NAemdr3u3bW39+lgSqW9XdJ4YgdA"
        "n91+SZkpXUtDWxjn1cjMI0MuLtPp0L1pf3oizk3aj7UK+0JJ6pPKs75KYpFxTZEmHsxms6zK/j4eN6rJ1u7WDdo3we1ZTnVVHs7wjwQAA"
        "AAAAE9Lt51+NysBy/P+qwgNAAAAAAAAwP/Gcst+uRXve81W/As2bXnNFv5bbqd0pN0W6lnNdBBJAAAAAAAAgPNrpZ3AP/n5/999nP9/yu"
        "f/H62rbHmPn////C/n/3He/9k774+/HgAAAAAA+I+tttPvzmLK2egiNAAAAAAAAAAAAAAAAAAAAM+MPwHT+8W6"
    )
)
EMPTY_CONFIG = Digest("sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a")
NOTHING = Digest("sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")


def opened(content: bytes) -> BoltReader:
    """Open a file's content."""
    return BoltReader(lambda offset, length: content[offset : offset + length], len(content))


def test_users_are_read() -> None:
    """Groups, stars and keys are imported as they are, but without limits by scopes; invalid parts are skipped."""
    alice, bob, wrong, carol = users(opened(WRITTEN))
    key = ApiKey(
        id="46a45ce7-5d92-498a-a9cb-9654b1da3da1",
        owner="alice",
        hash="5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8",
        label="ci",
        created_s=1714979289.5,
        creator_agent="curl/8",
    )
    assert (alice, carol) == (
        ("alice", ("dev",), (key,), ("team/app",), ()),
        ZotUser("carol", (), (), (), ()),
    )
    assert bob == ZotUser("bob", (), (), (), ())
    assert isinstance(wrong, UnreadableEntry)
    assert (wrong.record, wrong.what) == ("user bob", "user bob: star")


def test_statistics_are_read() -> None:
    """Counts and times are as zot has them; Go's zero time is None."""
    assert list(statistics(opened(WRITTEN))) == [
        (
            "team/app",
            (
                Statistic(EMPTY_CONFIG, 3, 1700000100.5, 1700000000.0, "alice"),
                Statistic(NOTHING, 0, None, 1700000000.0, ""),
            ),
        )
    ]


class Bucket(BoltReader):
    """A database of one bucket."""

    def __init__(self, records: dict[bytes, bytes]) -> None:
        self._records = records

    def bucket(self, name: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Return the records, whatever the bucket's name."""
        del name
        return iter(self._records.items())


def field(number: int, value: bytes) -> bytes:
    """Write a field of bytes, of less than 128."""
    return bytes((number << 3 | 2, len(value))) + value


def entry(digest: bytes, pulls: int) -> bytes:
    """Write an entry of zot's map of statistics."""
    return field(3, field(1, digest) + field(2, bytes((1 << 3, pulls))))


@pytest.mark.parametrize(
    ("bad", "expected"),
    [(entry(b"", 7), True), (entry(b"sha256:none", 7), False), (field(3, b"\xff"), False), (entry(b"\xff", 1), False)],
)
def test_a_bad_entry_costs_that_entry(bad: bytes, *, expected: bool) -> None:
    """The other statistics of the repository are read; the entry without a digest, which zot writes, is expected."""
    good = entry(EMPTY_CONFIG.encode(), 3)
    read, refused = statistics(Bucket({b"team/app": bad + good}))
    assert read == ("team/app", (Statistic(EMPTY_CONFIG, 3),))
    assert isinstance(refused, UnreadableEntry)
    assert (refused.record, refused.expected) == ("statistics of team/app", expected)


def test_a_bad_part_costs_no_other_part_of_a_user() -> None:
    """An invalid star, bookmark, group or API key does not affect the others."""
    record = {
        "StarredRepos": ["team/app", "No Name", 5],
        "BookmarkedRepos": [None, "team/other"],
        "Groups": ["dev", 1],
        "APIKeys": {"good": {"uuid": "1", "label": "ci"}, "bad": {"createdAt": "yesterday"}, "worse": 5},
    }
    user, *refused = users(Bucket({b"alice": json.dumps(record).encode()}))
    assert isinstance(user, ZotUser)
    assert (user.groups, user.stars, user.bookmarks) == (("dev",), ("team/app",), ("team/other",))
    assert [key.label for key in user.keys] == ["ci"]
    whats = [each.what for each in refused if isinstance(each, UnreadableEntry)]
    assert sorted(whats) == [
        "user alice: API key",
        "user alice: API key",
        "user alice: bookmark",
        "user alice: group",
        "user alice: star",
        "user alice: star",
    ]


def test_a_bucket_that_is_not_there_is_empty() -> None:
    """A zot that never had users has no bucket for them."""
    assert list(opened(WRITTEN).bucket(b"Nothing")) == []


@example([(8922, 128)], 0)  # a user that is no UTF-8
@given(st.lists(st.tuples(st.integers(0, len(WRITTEN) - 1), st.integers(0, 255)), max_size=20), st.integers(0, 1 << 15))
def test_a_damaged_file_is_broken_and_no_worse(changes: list[tuple[int, int]], length: int) -> None:
    """Reading ends whatever the bytes are, with records or with an error."""
    content = bytearray(WRITTEN)
    for position, byte in changes:
        content[position] = byte
    for each in (bytes(content), bytes(content[:length])):
        with suppress(InvalidBoltError):
            bolt = opened(each)
            list(users(bolt))
            list(statistics(bolt))


# Where the trees of the two buckets are: what changes there is seen.
@given(st.lists(st.tuples(st.integers(3 * 4096, 8 * 4096 - 1), st.integers(0, 255)), min_size=1, max_size=200))
def test_damaged_pages_are_broken_and_no_worse(changes: list[tuple[int, int]]) -> None:
    """Pages that lead nowhere, or into themselves, are an error, not a loop."""
    content = bytearray(WRITTEN)
    for position, byte in changes:
        # Most of a page is empty: strike its beginning.
        content[position - position % 4096 + position % 4096 % 200] = byte
    with suppress(InvalidBoltError):
        bolt = opened(bytes(content))
        list(users(bolt))
        list(statistics(bolt))


@given(st.binary(max_size=40))
def test_any_bytes_are_fields_or_broken(message: bytes) -> None:
    """A message gives its fields or InvalidProtobufError, and nothing else."""
    with suppress(InvalidProtobufError):
        for number, value in fields(message):
            assert number >= 0
            assert isinstance(value, int | bytes)


def test_integers_have_signs() -> None:
    """An int64 below zero has its highest bit set on the wire."""
    assert signed((1 << 64) - 5) == -5
    assert signed(5) == 5


@pytest.mark.parametrize("content", [b"", b"SQLite format 3", bytes(8192)])
def test_another_file_is_none(content: bytes) -> None:
    """A file that bbolt did not write is refused at once."""
    with pytest.raises(InvalidBoltError):
        opened(content)
