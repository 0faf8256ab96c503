"""A store of many images with configs, and a server whose search index has all of them."""

import json
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import layouts
from bench.client import Client
from bench.context import Context
from bench.registries import Registry, Setup, Side

STORE = "indexed"
SEARCH = Setup(search=True)
MANY = "described/many"
"""The repository with many tags."""
_POLL_S = 0.05
_LIMIT_S = 1800.0


@dataclass(frozen=True)
class Scale:
    """How much is in the store."""

    repositories: int
    images_each: int
    many_images: int
    many_tags_each: int

    @property
    def many(self) -> int:
        """Tags of the repository that has many."""
        return self.many_images * self.many_tags_each

    @property
    def images(self) -> int:
        """Images with a config of their own."""
        return self.repositories * self.images_each + self.many_images

    @property
    def tags(self) -> int:
        """Tags of all repositories."""
        return self.repositories * self.images_each + self.many

    def repository(self, number: int) -> str:
        """Return the name of one of the repositories with a few images."""
        return f"described/r{number:04}"


def scale(context: Context) -> Scale:
    """Return 1,000 repositories with 100 images each, and one with 100,000 tags."""
    return Scale(100, 10, 100, 10) if context.quick else Scale(1000, 99, 1000, 100)


def prepare(context: Context, side: Side) -> Scale:
    """Write the store and let the side import it, with search off. Done already, it does nothing."""
    size = scale(context)
    root = context.store(side, STORE) / "data"
    names = [size.repository(number) for number in range(size.repositories)]
    if root.exists():
        return size
    context.say(f"writing {size.images:,} images for {side.name}")
    layouts.write_described(root, MANY, size.many_images, size.many_tags_each)
    for name in names:
        layouts.write_described(root, name, size.images_each)
    with context.serving(side, STORE) as registry, Client(registry) as client:
        for number, name in enumerate([MANY, *names]):
            if not number % 50:
                context.say(f"{side.name} imports its repositories: {number:,}")
            client.ask("GET", f"/v2/{name}/tags/list?n=1", expected=200)
    return size


@contextmanager
def serving(context: Context, side: Side) -> Iterator[Registry]:
    """Serve the store with an index that has everything."""
    size = prepare(context, side)
    with context.serving(side, STORE, SEARCH) as registry:
        context.say(f"{side.name} fills its index")
        fill_s(registry, size)
        yield registry


def forget_index(context: Context, side: Side) -> None:
    """Delete the index of a store that is not served."""
    for path in _files(context, side):
        path.unlink()


def fill_s(registry: Registry, size: Scale) -> float:
    """Wait until searches find every tag; return the seconds. Raises RuntimeError if that takes half an hour."""
    started = time.monotonic()
    with Client(registry) as client:
        while indexed_tags(client) < size.tags:
            if time.monotonic() - started > _LIMIT_S:
                raise RuntimeError(f"the index of {registry.name} has {indexed_tags(client):,} of {size.tags:,} tags")
            time.sleep(_POLL_S)
    return time.monotonic() - started


def indexed_tags(client: Client) -> int:
    """Return how many tags searches find; none while the index is being made."""
    answer = client.ask("GET", graphql('{ImageList(repo:"" requestedPage:{limit:1}){Page{TotalCount}}}'))
    return int(json.loads(answer.body)["data"]["ImageList"]["Page"]["TotalCount"]) if answer.status == 200 else 0


def graphql(text: str) -> str:
    """Return the path of a query."""
    return f"/v2/_zot/ext/search?query={urllib.parse.quote(text)}"


def index_bytes(context: Context, side: Side) -> int:
    """Return how large the index of the store is on the disk."""
    return sum(path.stat().st_size for path in _files(context, side))


def _files(context: Context, side: Side) -> list[Path]:
    return list((context.store(side, STORE) / "data" / ".zot").glob("search.db*"))
