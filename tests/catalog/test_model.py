"""The embedded catalog does what the in-memory one does, whatever is asked of it in whatever order."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from zot.catalog.blob_commands import (
    CheckQuota,
    ClaimBlob,
    Disposal,
    DoomBlob,
    DropClaim,
    ForgetBlob,
    MarkUnreferenced,
    PlacedBlob,
    PublishBlob,
    PutBlob,
    ReleaseBlobs,
    TouchBlob,
)
from zot.catalog.change_log import ChangeCursor, ChangePage, TrimChanges
from zot.catalog.command import ChangeSource, Command
from zot.catalog.interface import Catalog, CatalogError, Outcome
from zot.catalog.layout_commands import (
    BeginExport,
    FinishExport,
    ImportLayout,
    LayoutBlob,
    LayoutManifest,
    LayoutTag,
    QueueExport,
)
from zot.catalog.manifest_commands import (
    DeleteTag,
    Edge,
    PutManifest,
    RemoveManifest,
    RemoveRepository,
    RestoreTag,
    TagMove,
    TouchManifest,
)
from zot.catalog.memory.driver import MemoryCatalog
from zot.catalog.owner_commands import (
    AcquireLease,
    EndExpiredOwners,
    EndOwner,
    NamedLease,
    ReleaseLease,
    RenewOwner,
    TakePendingDelete,
)
from zot.catalog.quotas import RepositoryQuota
from zot.catalog.sqlite.directory import DATABASE
from zot.catalog.sqlite.driver import SqliteCatalog
from zot.catalog.sqlite.writer import Writer
from zot.catalog.upload_commands import AdvanceUpload, CancelUploadRow, CreateUploadRow, LeaseUpload
from zot.oci.digest import Digest, digest_of
from zot.oci.names import Repository, Tag

REPOSITORIES = [Repository("app"), Repository("app/nested")]
# The same digests are blobs, manifests, children and subjects: what has to be told apart meets.
CONTENTS = {digest_of(content): content for content in (b"", b"a", b"bb", b"cccc")}
DIGESTS = sorted(CONTENTS)
TAGS = [Tag(name) for name in ("V", "v", "w")]
SESSIONS = ["s", "t"]
SECOND_NS = 10**9
# What is compared is not what survives: where memory serves as a disk, no time is spent on syncing one.
MEMORY = Path("/dev/shm")

# What is drawn more often is given more often: most commands go to one repository, so that they meet.
repositories = st.sampled_from([REPOSITORIES[0]] * 4 + [REPOSITORIES[1]])
seldom = st.sampled_from([False] * 3 + [True])
digests = st.sampled_from(DIGESTS)
tags = st.sampled_from(TAGS)
tokens = st.sampled_from(["one", "two"])
sizes = st.integers(0, 5)
patterns = st.sampled_from([(), ("app/**",), ("app", "other"), ("**/nested",)])
quotas = st.lists(st.builds(RepositoryQuota, st.integers(0, 12), patterns), max_size=2).map(tuple)
marks = st.sampled_from([1.0, 1.5, 2.0])
names = st.sampled_from(["", "alice"])
# Ended owners never come back, so that this start's owner is only ended by the next start.
THIS = "this"
PEERS = ["peer", "other peer"]
peers = st.sampled_from(PEERS)
owners = st.sampled_from([THIS] * 4) | peers
sources = st.sampled_from([ChangeSource.CLIENT, ChangeSource.IMPORT])
moves = st.builds(TagMove, tags, st.booleans(), st.booleans(), st.booleans())
easy_moves = st.builds(TagMove, tags)


def edges(of: st.SearchStrategy[Edge]) -> st.SearchStrategy[tuple[Edge, ...]]:
    """Give up to three edges, each of another digest."""
    return st.lists(of, max_size=3, unique_by=lambda edge: edge.digest).map(tuple)


any_edges = edges(st.builds(Edge, digests, st.sampled_from(["a", "b"]), sizes, seldom, st.booleans()))


def commands(kind: Callable[..., Command[Any]], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Command[Any]]:
    """Give commands of a kind; their ids come later, so that they are the same when an example is tried again."""
    return st.builds(kind, repository=repositories, id=st.just(""), source=sources, **fields)


def whole_catalog(
    kind: Callable[..., Command[Any]], **fields: st.SearchStrategy[Any]
) -> st.SearchStrategy[Command[Any]]:
    """Give commands of a kind that concern no single repository."""
    return st.builds(kind, id=st.just(""), **fields)


def of_digest(kind: type[Any], digest: Digest, **fields: Any) -> Any:
    """Make a value that has a digest, and the content or size that goes with it."""
    content = CONTENTS[digest]
    known = {"content": content, "size": len(content)}
    return kind(digest=digest, **fields, **{name: known[name] for name in known if name in kind.__struct_fields__})


def tuples(of: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    """Give up to two of them."""
    return st.lists(of, max_size=2).map(tuple)


layout_manifests = st.builds(
    partial(of_digest, LayoutManifest),
    digest=digests,
    media_type=st.just("manifest"),
    artifact_type=st.none() | names,
    subject=st.none() | digests,
    annotations=st.just({}),
    edges=any_edges,
    pushed_ns=st.integers(1, 3),
)
BLOBS = [
    commands(ClaimBlob, digest=digests, token=tokens, owner=owners),
    commands(
        partial(of_digest, PublishBlob),
        digest=digests,
        token=tokens,
        session=st.none() | st.sampled_from(SESSIONS),
        quotas=st.just(()) | quotas,
    ),
    commands(
        partial(of_digest, PutBlob),
        digest=digests,
        session=st.none() | st.sampled_from(SESSIONS),
        epoch=st.integers(0, 2),
        quotas=st.just(()) | quotas,
    ),
    commands(partial(of_digest, CheckQuota), digest=digests, quotas=quotas),
    commands(DropClaim, digest=digests, token=tokens),
    commands(TouchBlob, digest=digests),
    commands(
        DoomBlob,
        digest=digests,
        token=tokens,
        marked_before_s=st.none() | marks,
        owner=owners,
        orphan=seldom,
        damaged=seldom,
        placed_ns=st.none() | st.integers(0, 3),
        disposal=st.sampled_from(Disposal),
    ),
    commands(ForgetBlob, digest=digests, token=tokens),
    commands(MarkUnreferenced, now_s=marks, limit=st.integers(-1, 3)),
]
MANIFESTS = [
    commands(
        partial(of_digest, PutManifest),
        digest=digests,
        media_type=st.just("manifest"),
        artifact_type=st.none() | names,
        subject=st.none() | digests,
        annotations=st.dictionaries(names, st.text(max_size=2), max_size=1),
        edges=st.just(()) | any_edges,
        tags=tuples(easy_moves | moves),
        by=names,
        quotas=st.just(()) | quotas,
        repositories_limit=st.none() | st.none() | st.integers(0, 2),
    ),
    commands(
        RemoveManifest,
        digest=digests,
        if_tags=st.none() | st.none() | tuples(tags),
        marked_before_s=st.none() | st.none() | marks,
        by=names,
    ),
    commands(TouchManifest, digest=digests),
    commands(DeleteTag, tag=tags, if_digest=st.none() | digests, immutable=seldom, by=names),
    commands(RestoreTag, digest=digests, move=easy_moves | moves, by=names),
    commands(RemoveRepository),
]
UPLOADS = [
    commands(CreateUploadRow, session=st.sampled_from(SESSIONS), principal=names, limit=st.integers(0, 2)),
    commands(LeaseUpload, session=st.sampled_from(SESSIONS), principal=names),
    commands(
        AdvanceUpload,
        session=st.sampled_from(SESSIONS),
        epoch=st.integers(0, 2),
        offset=sizes,
        prefix=st.none() | digests,
        owner=owners,
    ),
    commands(
        CancelUploadRow,
        session=st.sampled_from(SESSIONS),
        if_epoch=st.none() | st.integers(0, 2),
        unfinished=st.booleans(),
    ),
]
LAYOUTS = [
    commands(
        ImportLayout,
        blobs=tuples(st.builds(partial(of_digest, LayoutBlob), digests)),
        manifests=tuples(layout_manifests),
        tags=tuples(st.builds(LayoutTag, tags, digests, st.none() | digests)),
        complete=st.booleans(),
        by=names,
    ),
    commands(BeginExport, digest=names, owner=owners),
    commands(FinishExport, revision=st.integers(0, 6), digest=names, signature=names),
    commands(QueueExport),
]
OWNERS = [
    commands(TakePendingDelete, digest=digests, token=tokens, new_token=st.just("taken"), owner=owners),
    whole_catalog(RenewOwner, owner=owners, lease_s=st.sampled_from([1.0, 61.0])),
    whole_catalog(EndOwner, owner=peers),
    whole_catalog(EndExpiredOwners, owner=st.just(THIS)),
    whole_catalog(AcquireLease, name=st.just("jobs"), owner=owners),
    whole_catalog(ReleaseLease, lease=st.builds(NamedLease, st.just("jobs"), owners, st.integers(1, 2))),
]
LOG = [whole_catalog(TrimChanges, older_than_s=st.sampled_from([0.0, 1.0, 61.0]), keep=sizes, limit=sizes)]
one_command = st.one_of(*BLOBS, *BLOBS, *MANIFESTS, *MANIFESTS, *UPLOADS, *LAYOUTS, *OWNERS, *LOG).map(
    lambda command: [command]
)


@st.composite
def stories(draw: st.DrawFn) -> list[Command[Any]]:
    """Give what clients do in a row, which chance alone would seldom bring together.

    A blob is pushed; images that share it are pushed; one of them, or the blob, is deleted.
    """
    name = draw(repositories)
    blob, *images = draw(st.permutations(DIGESTS))
    of: dict[str, Any] = {"repository": name, "id": ""}
    edge = Edge(blob, "a", 0, draw(seldom))
    puts = [of_digest(PutManifest, image, media_type="manifest", edges=(edge,), **of) for image in images]
    return [
        *draw(
            st.sampled_from(
                [
                    [
                        ClaimBlob(digest=blob, token="push", owner=THIS, **of),
                        of_digest(PublishBlob, blob, token="push", **of),
                    ],
                    [of_digest(PutBlob, blob, **of)],
                ]
            )
        ),
        *puts[: draw(st.integers(0, 2))],
        draw(
            st.sampled_from(
                [
                    DoomBlob(digest=blob, token="one", owner=THIS, **of),
                    *(RemoveManifest(digest=image, **of) for image in DIGESTS),
                ]
            )
        ),
    ]


@st.composite
def batches(draw: st.DrawFn) -> list[Command[Any]]:
    """Give some commands."""
    parts = draw(st.lists(one_command | one_command | one_command | stories(), min_size=5, max_size=20))
    return [command for part in parts for command in part]


class Direct:
    """Gives commands to the writer without a thread between."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer

    async def do(self, command: Command[Outcome]) -> Outcome:
        """Carry out one command."""
        (outcome,) = self.writer.run([command])
        if isinstance(outcome, CatalogError):
            raise outcome
        found: Outcome = outcome
        return found

    async def close(self) -> None:
        """Close the writer."""
        self.writer.close()


async def everything(catalog: Catalog) -> list[Any]:
    """Return all that can be read."""
    answers: list[Any] = [
        await catalog.repositories("", 9),
        await catalog.repositories(REPOSITORIES[0], 9),
        await catalog.doomed(9),
        await catalog.exports_due(9),
        await catalog.usage("", 9),
        await catalog.uploads(0, "", 9),
        await catalog.uploads(1, "s", 9),
        *[await catalog.upload(session) for session in SESSIONS],
        *[await catalog.repositories_with(digest, "", 9) for digest in DIGESTS],
        *await whole_log(catalog),
    ]
    for name in REPOSITORIES:
        answers += [
            await catalog.repository(name),
            await catalog.export(name),
            await catalog.manifests(name, "", 9),
            await catalog.manifests(name, DIGESTS[1], 1),
            await catalog.tags(name, "", 9),
            await catalog.tags(name, "V", 1),
            await catalog.tag_log(name, None, None, 9),
            await catalog.tag_log(name, TAGS[0], 5, 2),
            await catalog.blobs(name, "", 9),
            await catalog.held_blobs(name, "", 9),
            await catalog.held_blobs(name, DIGESTS[0], 1),
            await catalog.unreferenced_blobs(name, "", 9),
            await catalog.unreferenced_blobs(name, DIGESTS[0], 1),
            await catalog.dangling_manifests(name, "", 9),
            await catalog.dangling_manifests(name, DIGESTS[0], 1),
            *[await catalog.resolve(name, tag) for tag in TAGS],
        ]
        for digest in DIGESTS:
            answers += await _all_of(catalog, name, digest)
    return answers


async def whole_log(catalog: Catalog) -> list[ChangePage]:
    """Return what readers of the change log get, page by page from the oldest entry."""
    end = await catalog.changes(None, 9)
    pages = [end, await catalog.changes(end.cursor, 9), await catalog.changes(ChangeCursor(1, 1), 9)]
    page = await catalog.changes(ChangeCursor(0, 0), 3)
    while page.changes:
        pages.append(page)
        page = await catalog.changes(page.cursor, 3)
    return [*pages, page]


async def _all_of(catalog: Catalog, name: Repository, digest: Digest) -> list[Any]:
    return [
        await catalog.resolve(name, digest),
        await catalog.manifest_content(name, digest),
        await catalog.manifest(name, digest),
        await catalog.blob(name, digest),
        await catalog.held_content(name, digest),
        await catalog.referrers(name, digest, (), "", 9),
        await catalog.referrers(name, digest, ("alice",), DIGESTS[0], 1),
    ]


class Comparison(RuleBasedStateMachine):
    """Both catalogs, given the same commands at the same times."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ns = SECOND_NS
        self.loop = asyncio.new_event_loop()
        self.directory = tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None)
        self.boot = self.ids = 0
        self.model = MemoryCatalog(self.time_ns, owner=self.owner)
        self.open()
        self.given: list[Command[Any]] = []

    @property
    def owner(self) -> str:
        """The owner of this start."""
        return f"start {self.boot}"

    def new_id(self) -> str:
        """Return an id that no command had."""
        self.ids += 1
        return str(self.ids)

    def time_ns(self) -> int:
        """Tell both the same time."""
        return self.now_ns

    def open(self) -> None:
        """Open the embedded catalog."""
        path = Path(self.directory.name)
        self.writer = Writer(path, self.owner, self.time_ns)
        self.catalog = SqliteCatalog(path / DATABASE, Direct(self.writer), self.owner, self.time_ns)

    def teardown(self) -> None:
        """Close all of it."""
        self.loop.run_until_complete(self.catalog.close())
        self.loop.close()
        self.directory.cleanup()

    @rule(batch=batches())
    def give(self, batch: list[Command[Any]]) -> None:
        """Give several commands, which the embedded catalog takes in as few commits as it likes."""
        batch = [self._with_owner(msgspec.structs.replace(command, id=self.new_id())) for command in batch]
        self.given = [*self.given, *batch][-50:]
        expected = [self._outcome(self.model, command) for command in batch]
        outcomes: list[Any] = []
        while len(outcomes) < len(batch):
            outcomes += self.writer.run(batch[len(outcomes) :])
        assert [type(each) if isinstance(each, CatalogError) else each for each in outcomes] == expected

    @precondition(lambda self: self.given)
    @rule(data=st.data())
    def give_again(self, data: st.DataObject) -> None:
        """Give a command a second time, with its id or another."""
        command = data.draw(st.sampled_from(self.given))
        if data.draw(st.booleans()):
            command = msgspec.structs.replace(command, id=self.new_id())
        assert self._outcome(self.catalog, command) == self._outcome(self.model, command)

    @rule(name=repositories, digest=digests, later_ns=st.sampled_from([0, 0, 1]))
    def release(self, name: Repository, digest: Digest, later_ns: int) -> None:
        """Release a blob, in its version or another."""
        row = self.loop.run_until_complete(self.model.blob(name, digest))
        placed = PlacedBlob(digest, (row.placed_ns if row else 0) + later_ns)
        command = ReleaseBlobs(repository=name, placed=(placed,), id=self.new_id())
        assert self._outcome(self.catalog, command) == self._outcome(self.model, command)

    @rule(seconds=st.sampled_from([1, 61]))
    def wait(self, seconds: int) -> None:
        """Let time pass, at last so much that outcomes are forgotten."""
        self.now_ns += seconds * SECOND_NS

    @rule(new_boot=st.booleans())
    def start_again(self, new_boot: bool) -> None:
        """Start the writer again, or the whole server, at which claims are dropped."""
        self.loop.run_until_complete(self.catalog.close())
        if new_boot:
            before = self.owner
            self.boot += 1
            for owner in (before, *PEERS):
                if self.model._state.is_alive(owner):
                    self._outcome(self.model, EndOwner(owner=owner))
            self._outcome(self.model, RenewOwner(owner=self.owner))
        self.now_ns += SECOND_NS
        self.open()

    def _with_owner(self, command: Command[Any]) -> Command[Any]:
        """Return a command for the owner of this start, if it is for THIS."""
        if getattr(command, "owner", None) == THIS:
            return msgspec.structs.replace(command, owner=self.owner)
        if isinstance(command, ReleaseLease) and command.lease.owner == THIS:
            return msgspec.structs.replace(command, lease=msgspec.structs.replace(command.lease, owner=self.owner))
        return command

    def _outcome(self, catalog: Catalog, command: Command[Any]) -> Any:
        """Return what comes of a command: of a refused one, the kind of the error."""
        try:
            return self.loop.run_until_complete(catalog.do(command))
        except CatalogError as error:
            return type(error)

    @invariant()
    def both_answer_the_same(self) -> None:
        """Compare all that can be read."""
        expected = self.loop.run_until_complete(everything(self.model))
        assert self.loop.run_until_complete(everything(self.catalog)) == expected


TestComparison = Comparison.TestCase
TestComparison.settings = settings(
    max_examples=50,
    stateful_step_count=12,
    deadline=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
