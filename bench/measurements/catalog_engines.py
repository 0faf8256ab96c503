"""What a catalog in Redis or PostgreSQL costs those who pull, beside one in SQLite."""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import programs
from bench import images, load, process_tree
from bench.context import Context
from bench.figures import Figure, Sample
from bench.load import Target
from bench.registries import Registry, Setup
from servers.postgres import PostgresServer
from servers.process import Process
from servers.redis import RedisServer

REPOSITORY = "bench/catalog-engines"
TAGS = 1_000
RUN_S = 3
IN_SQLITE = "in SQLite"


@dataclass
class _Engine:
    """A registry whose catalog is in one kind of database, and what the runs gave."""

    registry: Registry
    database: Process | None
    per_second: list[float] = field(default_factory=list)
    registry_ms: list[float] = field(default_factory=list)
    database_ms: list[float] = field(default_factory=list)


def measure(context: Context) -> Iterator[Figure]:
    """GET manifests by 1,000 tags at random over 8 connections, with each catalog in turns; divide all processor time.

    The processor time of the database is told by itself. SQLite is in the registry's processes.
    """
    tags = TAGS // 10 if context.quick else TAGS
    with ExitStack() as stack:
        engines = {
            name: _started(context, stack, name, database)
            for name, database in {IN_SQLITE: None, **_databases(context, stack)}.items()
        }
        for engine in engines.values():
            images.push_tags(engine.registry, REPOSITORY, tags)
        for engine in engines.values():
            process_tree.settle(engine.registry.pid)
        for number in range((3 if context.quick else 7) + 1):
            for name, engine in engines.items():
                context.say(f"getting manifests, catalog {name}")
                _measure_once(engine, tags)
                if number == 0:  # it has warmed up
                    engine.per_second, engine.registry_ms, engine.database_ms = [], [], []
    yield from _figures(engines.pop(IN_SQLITE), engines)


def _databases(context: Context, stack: ExitStack) -> dict[str, Process]:
    """Start the databases that are installed; return them by where the catalog is."""
    found: dict[str, Process] = {}
    folder = context.folder / "databases"
    folder.mkdir(exist_ok=True)
    if programs.find("redis-server"):
        found["in Redis"] = stack.enter_context(RedisServer(folder))
    if programs.find("postgres"):
        found["in PostgreSQL"] = stack.enter_context(PostgresServer())
    return found


def _started(context: Context, stack: ExitStack, name: str, database: Process | None) -> _Engine:
    url = None
    if isinstance(database, RedisServer):
        url = database.url
    elif isinstance(database, PostgresServer):
        url = database.url()
    store = f"catalog-{secrets.token_hex(4)}"
    registry = stack.enter_context(context.serving(context.zot, store, Setup(catalog=url)))
    context.say(f"started a registry with its catalog {name}")
    return _Engine(registry, database)


def _measure_once(engine: _Engine, tags: int) -> None:
    before_ms, database_before_ms = process_tree.processor_ms(engine.registry.pid).total(), _database_ms(engine)
    target = Target(f"/v2/{REPOSITORY}/manifests/t{{}}", tags)
    per_second = load.get(engine.registry, target, RUN_S).per_second
    requests = per_second * RUN_S
    engine.per_second.append(per_second)
    engine.registry_ms.append((process_tree.processor_ms(engine.registry.pid).total() - before_ms) / requests)
    engine.database_ms.append((_database_ms(engine) - database_before_ms) / requests)


def _database_ms(engine: _Engine) -> float:
    if engine.database is None or engine.database.process is None:
        return 0.0
    return process_tree.processor_ms(engine.database.process.pid).total()


def _figures(sqlite: _Engine, engines: dict[str, _Engine]) -> Iterator[Figure]:
    rate, used = {IN_SQLITE: Sample.of(sqlite.per_second)}, {IN_SQLITE: Sample.of(sqlite.registry_ms)}
    for name, engine in engines.items():
        what = f"manifest GET, catalog {name}"
        yield Figure(f"{what}, rate", "/s", Sample.of(engine.per_second), rate, aim="≥ 0.8 of it")
        ours = Sample.of(engine.registry_ms)
        yield Figure(f"{what}, processor time", "ms", ours, used, more_is_better=False)
        yield Figure(f"{what}, of the database", "ms", Sample.of(engine.database_ms), more_is_better=False)
