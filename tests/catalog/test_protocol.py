"""Frames, commands and outcomes pass the socket unchanged."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.catalog.examples import APP, V1, digest, layer, put
from zot.catalog.blob_commands import ClaimBlob, ClaimOutcome, DropClaim, MarkUnreferenced
from zot.catalog.command import Command
from zot.catalog.interface import CatalogError, CatalogFullError, CatalogUnavailableError
from zot.catalog.manifest_commands import MissingBlobs, Refusal, Stored, TagRefused
from zot.catalog.quotas import OverQuota
from zot.catalog.rows import UploadRow
from zot.catalog.sqlite.codec import decode_command, encode
from zot.catalog.sqlite.protocol import (
    FRAME_LIMIT_BYTES,
    Frames,
    FrameTooLargeError,
    answer_frame,
    frame,
    outcome_of,
    read_answer,
)
from zot.catalog.upload_commands import AdvanceUpload, LeasedUpload, LeaseUpload

PUT = put("image", layer("blob"), tags=(V1,))


@given(st.lists(st.binary(max_size=40), max_size=6), st.data())
def test_frames_are_cut_wherever_the_stream_is(contents: list[bytes], data: st.DataObject) -> None:
    """However the bytes arrive, the frames come out as they went in, in order, as soon as they are complete."""
    stream = b"".join(map(frame, contents))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    frames = Frames()
    found = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += list(frames.feed(stream[start:end]))
    assert found == contents


def test_a_frame_is_bounded() -> None:
    """No frame beyond the limit is sent or received."""
    with pytest.raises(FrameTooLargeError):
        frame(bytes(FRAME_LIMIT_BYTES + 1))
    with pytest.raises(FrameTooLargeError):
        list(Frames().feed((FRAME_LIMIT_BYTES + 1).to_bytes(4, "big")))


@pytest.mark.parametrize(
    "command",
    [PUT, DropClaim(repository=APP, digest=digest("x"), token="t"), MarkUnreferenced(repository=APP, now_s=1.5)],
)
def test_commands_come_out_as_they_went_in(command: Command[Any]) -> None:
    """A command is the same on the other side, of the same kind."""
    assert decode_command(encode(command)) == command


ADVANCE = AdvanceUpload(repository=APP, session="s", epoch=1, offset=2, owner="o", driver_state=b"\x00\xff")


@pytest.mark.parametrize(
    ("command", "outcome"),
    [
        (ClaimBlob(repository=APP, digest=digest("x"), token="t", owner="boot"), ClaimOutcome.DOOMED),
        (DropClaim(repository=APP, digest=digest("x"), token="t"), None),
        (MarkUnreferenced(repository=APP, now_s=1), 7),
        (PUT, Stored(created=True, changes=((V1, None),))),
        (PUT, MissingBlobs((digest("x"),))),
        (PUT, TagRefused(V1, Refusal.IMMUTABLE)),
        (PUT, OverQuota(3, 2, of_repositories=True)),
        (PUT, OverQuota(3, 2, of_repositories=False, patterns=("a/**",))),
        (LeaseUpload(repository=APP, session="s", principal="alice", owner="o"), None),
        (
            LeaseUpload(repository=APP, session="s", principal="alice", owner="o"),
            LeasedUpload(UploadRow("s", APP, "alice", 1, 2, "sha256", None, "boot", 3, digest("x"))),
        ),
        (ADVANCE, False),
        (ADVANCE, True),
        (ADVANCE, ClaimOutcome.DOOMED),
    ],
)
def test_outcomes_come_out_as_they_went_in(command: Command[Any], outcome: Any) -> None:
    """An outcome has the type that its command's has."""
    (content,) = Frames().feed(answer_frame(command, outcome))
    answer = read_answer(content)
    assert answer.id == command.id
    assert outcome_of(answer, command) == outcome


@pytest.mark.parametrize("kind", [CatalogError, CatalogFullError, CatalogUnavailableError])
def test_errors_come_out_as_they_went_in(kind: type[CatalogError]) -> None:
    """An error is of the same kind on the other side, with its text."""
    (content,) = Frames().feed(answer_frame(PUT, kind("no room")))
    error = outcome_of(read_answer(content), PUT)
    assert type(error) is kind
    assert str(error) == "no room"
