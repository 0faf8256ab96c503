"""What a page costs, and the query with which zot's own pages begin."""

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack

from bench import indexed, layouts, process_tree
from bench.client import Client
from bench.context import Context
from bench.figures import Figure, Sample, alternate
from bench.registries import Registry

# zui's, with its spaces.
HOME = (
    "{RepoListWithNewestImage(requestedPage: {limit:15 offset:0}){Results {Name LastUpdated Size Platforms {Os Arch}  "
    "NewestImage { Tag Vulnerabilities {MaxSeverity Count} Description  Licenses Title Source IsSigned SignatureInfo "
    "{ Tool IsTrusted Author } Documentation Vendor Labels} IsStarred IsBookmarked StarCount DownloadCount}}}"
)


def measure(context: Context) -> Iterator[Figure]:
    """Ask for each page again and again over one connection, with 1,000 repositories and one of 100,000 tags.

    The processor time is that of all processes of the server, divided by the requests. The home query of zot's pages
    is asked of the peer too, if that is a zot with search: a zot takes 78 ms for it.
    """
    size = indexed.scale(context)
    repository = f"/image/{indexed.MANY.replace('/', '%2F')}"
    pages = {
        f"page: explore {size.repositories:,} repositories": "/explore",
        f"page: search {size.repositories:,} repositories": "/explore?search=r00",
        f"page: repository of {size.many:,} tags": repository,
        f"page: part of a tag of {size.many:,}": f"{repository}?filter=v77",
        "page: image": f"{repository}/tag/{layouts.tag(7)}",
    }
    home = f"GraphQL: home, {size.repositories:,} repositories"
    with ExitStack() as stack:
        registries = {
            side.name: stack.enter_context(indexed.serving(context, side))
            for side in (context.zot, context.peer)
            if side and side.can(indexed.SEARCH)
        }
        ours = registries[context.zot.name]
        for what, path in pages.items():
            yield from _figures(context, what, {ours.name: ours}, path, "≤ 20")
        yield from _figures(context, home, registries, indexed.graphql(HOME), "≤ 5")


def _figures(
    context: Context, what: str, registries: Mapping[str, Registry], path: str, aim_ms: str
) -> Iterator[Figure]:
    """Yield the processor time of a request, and how long a client waits for its answer."""
    context.say(what)
    count = 50 if context.quick else 200
    waited_ms: dict[str, list[float]] = {name: [] for name in registries}

    def processor_ms(registry: Registry) -> float:
        before_ms = process_tree.processor_ms(registry.pid).total()
        with Client(registry) as client:
            for _ in range(count):
                started = time.perf_counter()
                client.ask("GET", path, expected=200)
                waited_ms[registry.name].append((time.perf_counter() - started) * 1000)
        return (process_tree.processor_ms(registry.pid).total() - before_ms) / count

    used = alternate(registries, 3, processor_ms)
    waited = {name: Sample.of(values[count:]) for name, values in waited_ms.items()}
    ours = context.zot.name
    yield Figure(f"{what}, processor time", "ms", used.pop(ours), used, more_is_better=False, aim=aim_ms)
    yield Figure(f"{what}, answered", "ms", waited.pop(ours), waited, more_is_better=False)
