"""Commands of several processes in one PostgreSQL: nothing is lost between them, and none waits for another's disk."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from itertools import count, pairwise

import pytest

from contract.catalog.examples import APP, OTHER, OWNER, V1, digest, layer, put
from servers.postgres import PostgresServer
from zot.catalog.blob_commands import (
    ClaimBlob,
    ClaimOutcome,
    DoomBlob,
    DoomOutcome,
    ForgetBlob,
    PublishBlob,
    PublishOutcome,
    PutBlob,
)
from zot.catalog.change_log import ChangeCursor, ChangeKind
from zot.catalog.interface import (
    Catalog,
    CatalogUnavailableError,
    CatalogUnusableError,
    LeaseEndedError,
)
from zot.catalog.manifest_commands import DeleteTag, PutManifest, RemoveRepository, Stored
from zot.catalog.owner_commands import AcquireLease, EndExpiredOwners, EndOwner, RenewOwner, TakePendingDelete
from zot.catalog.postgres.engine import PostgresCatalogEngine
from zot.catalog.quotas import OverQuota, RepositoryQuota
from zot.catalog.upload_commands import CreateUploadRow, LeaseUpload
from zot.config.postgres_address import parse_address
from zot.databases.postgres_pool import PostgresPool
from zot.oci.names import parse_repository, parse_tag

pytestmark = pytest.mark.needs("postgres")

_NUMBERS = count()


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server that the tests of this module kill and restart."""
    with PostgresServer() as running:
        yield running


class Replicas:
    """Several catalogs, each with connections of its own, on one new database."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self.database = f"replicas_{next(_NUMBERS)}"
        server.sql(f"CREATE DATABASE {self.database}")
        self.address = parse_address(server.url(self.database))
        self._opened: list[Catalog] = []

    def engine(self, store: str = "store", *, is_alone: bool = False) -> PostgresCatalogEngine:
        """Return what opens one more."""
        return PostgresCatalogEngine(self.address, store, is_alone=is_alone)

    def open(self, owner: str = OWNER) -> Catalog:
        """Open one more."""
        catalog = self.engine().open(owner)
        self._opened.append(catalog)
        return catalog

    def sql(self, statement: str) -> str:
        """Execute a statement, and return what it prints."""
        return self._server.sql(statement, self.database)

    async def close(self) -> None:
        """Close all."""
        for catalog in self._opened:
            await catalog.close()


@pytest.fixture
async def replicas(server: PostgresServer) -> AsyncIterator[Replicas]:
    """A new database."""
    async with AsyncExitStack() as stack:
        made = Replicas(server)
        stack.push_async_callback(made.close)
        yield made


async def test_commands_of_one_repository_do_not_deadlock(replicas: Replicas) -> None:
    """Pushes, deletes and removals of few repositories by many connections are each carried out once, or refused."""
    catalogs = [replicas.open(f"owner{number}") for number in range(3)]
    repositories = [parse_repository(f"app{number}") for number in range(2)]

    async def work(number: int) -> int:
        catalog, repository = catalogs[number % 3], repositories[number % 2]
        blob, token = digest(f"blob{number % 4}"), f"token{number}"
        owner = catalog.owner
        stored = 0
        claim = ClaimBlob(repository=repository, digest=blob, token=token, owner=owner)
        if await catalog.do(claim) is ClaimOutcome.CLAIMED:
            await catalog.do(PublishBlob(repository=repository, digest=blob, token=token, size=1))
        done = await catalog.do(put(f"image{number}", tags=(V1,), repository=repository))
        stored += isinstance(done, Stored)
        if number % 3 == 0:
            await catalog.do(DeleteTag(repository=repository, tag=V1))
        doomed = await catalog.do(DoomBlob(repository=repository, digest=blob, token=token, owner=owner))
        if doomed is DoomOutcome.DOOMED:
            await catalog.do(ForgetBlob(repository=repository, digest=blob, token=token))
        await catalog.do(RemoveRepository(repository=repository))
        return stored

    assert sum(await asyncio.gather(*(work(number) for number in range(36)))) == 36
    for repository in repositories:
        manifests = await catalogs[0].manifests(repository, "", 100)
        (usage,) = [row for row in await catalogs[0].usage("", 10) if row.repository == repository]
        assert usage.manifests == len(manifests) == 18
        assert usage.blobs == len(await catalogs[0].blobs(repository, "", 100))


async def test_a_repository_is_created_once(replicas: Replicas) -> None:
    """Of first pushes at the same time one creates the repository, and refused ones leave none behind."""
    catalogs = [replicas.open(f"owner{number}") for number in range(4)]
    fails = PutManifest(
        repository=OTHER, digest=digest("none"), content=b"none", media_type="", edges=(layer("missing"),)
    )
    pushes = [catalog.do(put(f"image{number}")) for number, catalog in enumerate(catalogs)]
    await asyncio.gather(*pushes, *(catalog.do(fails) for catalog in catalogs[:1]))
    changes = (await catalogs[0].changes(ChangeCursor(0, 0), 100)).changes
    assert Counter(change.kind for change in changes) == {
        ChangeKind.REPOSITORY_CREATED: 1,
        ChangeKind.MANIFEST_STORED: 4,
    }
    assert changes[0].kind is ChangeKind.REPOSITORY_CREATED
    assert list(await catalogs[0].repositories("", 10)) == [APP]


async def test_no_entry_of_the_log_comes_late(replicas: Replicas) -> None:
    """Readers that tail the log under writers see every entry, in one order, without a gap."""
    catalogs = [replicas.open(f"owner{number}") for number in range(3)]
    seen: list[list[int]] = [[], []]
    running = True

    async def tail(catalog: Catalog, sequences: list[int]) -> None:
        cursor = ChangeCursor(0, 0)
        last = False
        while not last:
            last = not running
            while (page := await catalog.changes(cursor, 7)).changes:
                assert not page.gap
                sequences += [change.sequence for change in page.changes]
                cursor = page.cursor

    async def push(writer: int) -> None:
        for number in range(12):
            repository = parse_repository(f"app{writer % 4}")
            tags = (parse_tag(f"t{writer}"), parse_tag("latest"))
            await catalogs[writer % 3].do(put(f"image {writer} {number}", tags=tags, repository=repository))

    readers = [asyncio.create_task(tail(catalogs[number], seen[number])) for number in range(2)]
    await asyncio.gather(*(push(writer) for writer in range(8)))
    running = False
    await asyncio.gather(*readers)
    total = int(replicas.sql("SELECT count(*) FROM zot_catalog.change_log"))
    assert seen[0] == seen[1] == list(range(1, total + 1))
    assert total >= 8 * 12 * 3
    log = await catalogs[0].tag_log(parse_repository("app0"), parse_tag("latest"), None, 1000)
    assert all(later.at_ns > earlier.at_ns for later, earlier in pairwise(log))
    assert all(later.before == earlier.after for later, earlier in pairwise(log))


async def test_an_open_transaction_hides_no_other_change(replicas: Replicas) -> None:
    """A forgotten transaction of another program neither stalls readers of the log nor makes them miss its entries."""
    catalog = replicas.open()
    other = PostgresPool(replicas.address, 1)
    async with other.transaction() as connection:
        await connection.execute(
            "INSERT INTO zot_catalog.change_new (repository, kind, at_ns, changed_by, source)"
            " VALUES ('late', 'repository created', 1, '', 'client')"
        )
        await catalog.do(put("image"))
        page = await catalog.changes(ChangeCursor(0, 0), 10)
        assert [change.repository for change in page.changes] == [APP, APP]
    await other.close()
    after = await catalog.changes(page.cursor, 10)
    assert [(change.repository, change.sequence) for change in after.changes] == [("late", 3)]


async def test_quotas_hold_between_repositories(replicas: Replicas) -> None:
    """Pushes of several repositories that share a quota never exceed it together."""
    catalogs = [replicas.open(f"owner{number}") for number in range(3)]
    quotas = (RepositoryQuota(50, ("team/**",)), RepositoryQuota(55, ("team/{a,b}*",)))

    async def push(number: int) -> object:
        repository = parse_repository(f"team/{'ab'[number % 2]}{number}")
        content = bytes([number]) * 10
        return await catalogs[number % 3].do(
            PutBlob(repository=repository, digest=digest(str(number)), content=content, quotas=quotas)
        )

    outcomes = await asyncio.gather(*(push(number) for number in range(12)))
    assert sum(isinstance(each, OverQuota) for each in outcomes) == 7
    assert replicas.sql("SELECT sum(bytes) FROM zot_catalog.repository") == "50"


async def test_a_command_given_twice_at_once_is_carried_out_once(replicas: Replicas) -> None:
    """Two connections that give one command get one outcome."""
    catalogs = [replicas.open(f"owner{number}") for number in range(2)]
    for number in range(5):
        command = put(f"image{number}", tags=(V1,))
        first, second = await asyncio.gather(*(catalog.do(command) for catalog in catalogs))
        assert first == second
        assert isinstance(first, Stored)
        assert first.created


async def test_an_ended_owner_claims_nothing(replicas: Replicas) -> None:
    """A claim that is made while the owner's lease is ended stands no longer than the lease."""
    one, two = replicas.open("one"), replicas.open("two")
    claims = [ClaimBlob(repository=APP, digest=digest(str(number)), token="t", owner="one") for number in range(20)]
    await one.do(CreateUploadRow(repository=APP, session="s"))
    outcomes = await asyncio.gather(
        *(one.do(claim) for claim in claims[:10]),
        two.do(EndOwner(owner="one")),
        *(one.do(claim) for claim in claims[10:]),
        return_exceptions=True,
    )
    assert all(each in (ClaimOutcome.CLAIMED, None) or isinstance(each, LeaseEndedError) for each in outcomes)
    assert replicas.sql("SELECT count(*) FROM zot_catalog.claim") == "0"
    with pytest.raises(LeaseEndedError, match="owner one has ended"):
        await one.do(claims[0])


async def test_expired_owners_are_replaced(replicas: Replicas) -> None:
    """An owner that does not renew its lease loses it, its named leases and its deletes to another one."""
    one, two = replicas.open("one"), replicas.open("two")
    held = await one.do(AcquireLease(name="export", owner="one"))
    assert held is not None
    assert await two.do(AcquireLease(name="export", owner="two")) is None
    await one.do(ClaimBlob(repository=APP, digest=digest("a"), token="t", owner="one"))
    assert await one.do(PublishBlob(repository=APP, digest=digest("a"), token="t", size=1)) is PublishOutcome.PRESENT
    await one.do(DoomBlob(repository=APP, digest=digest("a"), token="t", owner="one"))
    assert await two.do(EndExpiredOwners(owner="two")) == ()
    assert await one.do(RenewOwner(owner="one", lease_s=-1))
    assert await two.do(EndExpiredOwners(owner="two")) == ("one",)
    taken = await two.do(AcquireLease(name="export", owner="two"))
    assert taken is not None
    assert taken.fence == held.fence + 1
    assert [each.abandoned for each in await two.doomed(10)] == [True]
    take = TakePendingDelete(repository=APP, digest=digest("a"), token="t", new_token="n", owner="two")
    assert await two.do(take)
    assert not await one.do(RenewOwner(owner="one"))


async def test_a_start_alone_ends_earlier_owners(replicas: Replicas) -> None:
    """A start that holds all roots' locks ends the leases of earlier starts; one that shares content does not."""
    one = replicas.open("one")
    two = replicas.open("two")
    assert await one.do(RenewOwner(owner="one"))
    replicas.engine(is_alone=True).begin("three")
    for catalog in (one, two):
        assert not await catalog.do(RenewOwner(owner=catalog.owner))


async def test_another_store_is_refused(replicas: Replicas) -> None:
    """Two registries do not share a database by accident."""
    replicas.engine("mine").begin("one")
    with pytest.raises(CatalogUnusableError, match="belongs to the store mine, this one is yours"):
        replicas.engine("yours").begin("two")


async def test_what_was_acknowledged_survives_a_kill(server: PostgresServer, replicas: Replicas) -> None:
    """While the server is killed and started pushes wait or fail as unavailable; each that was answered is there."""
    catalog = replicas.open()
    await catalog.do(put("first"))
    stored: list[str] = []
    some = asyncio.Event()

    async def push(writer: int) -> None:
        for number in range(10):
            name = f"image {writer} {number}"
            try:
                assert isinstance(await catalog.do(put(name)), Stored)
            except CatalogUnavailableError:
                continue
            stored.append(name)
            if len(stored) == 8:
                some.set()

    pushing = [asyncio.create_task(push(writer)) for writer in range(4)]
    await some.wait()
    server.kill()
    server.start()
    await asyncio.gather(*pushing)
    await catalog.ready()
    known = {row.digest for row in await catalog.manifests(APP, "", 1000)}
    assert {digest(name) for name in stored} <= known


async def test_a_fence_is_not_given_twice(server: PostgresServer, replicas: Replicas) -> None:
    """The epoch of an upload and the fence of a lease survive a crash of the server, which ends no process of ours."""
    catalog = replicas.open()
    await catalog.do(CreateUploadRow(repository=APP, session="s"))
    leased = await catalog.do(LeaseUpload(repository=APP, session="s", principal="", owner=OWNER))
    lease = await catalog.do(AcquireLease(name="export", owner=OWNER))
    server.kill()
    server.start()
    row = await catalog.upload("s")
    assert leased is not None
    assert row is not None
    assert row.epoch == leased.row.epoch == 1
    assert await catalog.do(AcquireLease(name="export", owner=OWNER)) == lease


async def test_reads_of_one_moment_do_not_see_later_changes(replicas: Replicas) -> None:
    """A block sees one state, while other tasks change and read the catalog."""
    catalog = replicas.open()
    await catalog.do(put("one", tags=(V1,)))
    with catalog.one_moment():
        before = await catalog.tag(APP, V1)
        await asyncio.create_task(replicas_push(replicas))
        assert await catalog.tag(APP, V1) == before
        assert [row.digest for row in await catalog.manifests(APP, "", 10)] == [digest("one")]
    after = await catalog.tag(APP, V1)
    assert after is not None
    assert after.digest == digest("two")


async def replicas_push(replicas: Replicas) -> None:
    """Move the tag by another process."""
    assert isinstance(await replicas.open("other").do(put("two", tags=(V1,))), Stored)


async def test_text_that_the_server_cannot_hold_is_stored(replicas: Replicas) -> None:
    """A NUL in an annotation becomes the replacement character there; the bytes of the manifest keep it."""
    catalog = replicas.open()
    command = PutManifest(
        repository=APP,
        digest=digest("image"),
        content=b"\0",
        media_type="a\0b",
        subject=digest("subject"),
        annotations={"k\0": 'v\0\\u0000"'},
    )
    assert isinstance(await catalog.do(command), Stored)
    (row,) = await catalog.referrers(APP, digest("subject"), (), "", 10)
    assert (row.media_type, row.annotations) == ("a\ufffdb", {"k\ufffd": 'v\ufffd\\u0000"'})
    assert await catalog.manifest_content(APP, digest("image")) == b"\0"
    assert await catalog.referrers(APP, digest("subject"), ("\0",), "", 10) == []
