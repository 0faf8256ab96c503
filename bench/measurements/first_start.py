"""How soon a store that another program wrote is served."""

import time
from collections.abc import Iterator

from bench import images, layouts
from bench.client import Client
from bench.context import Context
from bench.figures import Figure, Sample

REPOSITORIES = 200
MANIFESTS_EACH = 100


def measure(context: Context) -> Iterator[Figure]:
    """Start on OCI layouts with 20,000 images that this registry has never seen.

    Measured from the start of the process: until /readyz answers 200; until a tag of a foreign repository is
    served; until an image pushed to a new repository is answered with 201; and until a tag pushed to a foreign
    repository is. One run, since a second start is not a first one.
    """
    each = MANIFESTS_EACH // 10 if context.quick else MANIFESTS_EACH
    count = REPOSITORIES * each
    folder = context.store(context.zot, "foreign")
    context.say(f"writing {count:,} foreign images")
    names = layouts.write(folder / "data", REPOSITORIES, each)
    context.say("starting on them")
    reached: dict[str, float] = {}
    started = time.perf_counter()
    with context.serving(context.zot, "foreign") as registry, Client(registry) as client:
        reached["ready"] = time.perf_counter() - started
        path = f"/v2/{names[0]}/manifests/{layouts.tag(0)}"
        content = client.ask("GET", path, expected=200).body
        reached["pull"] = time.perf_counter() - started
        images.push_image(client, "bench/new", "latest")
        reached["push"] = time.perf_counter() - started
        client.put_manifest(names[0], "again", content)
        reached["push to a foreign repository"] = time.perf_counter() - started
    for event, seconds in reached.items():
        what = f"first start on {count:,} foreign images: {event}"
        yield Figure(what, "s", Sample.of([seconds]), more_is_better=False, aim="≤ 1")
