"""What search costs those who do not use it: pushes and pulls with search and pages, and without."""

from collections.abc import Iterator
from contextlib import ExitStack

from bench import images, process_tree
from bench.client import Client
from bench.context import Context
from bench.figures import Figure, alternate
from bench.registries import Registry, Setup

REPOSITORY = "bench/search-cost"
_SETUPS = {"with search": Setup(search=True), "without search": Setup()}


def measure(context: Context) -> Iterator[Figure]:
    """Push images of 1 MB, then GET a manifest, each with search on and off in turns; divide all processor time.

    What is done after the answers, such as indexing, is waited for and counts.
    """
    pushes, gets, runs = (20, 500, 3) if context.quick else (200, 5000, 5)
    pushed = 0

    def push_ms(registry: Registry) -> float:
        nonlocal pushed
        context.say(f"pushing images {registry.name}")
        before_ms = _settled_ms(registry)
        with Client(registry) as client:
            for _ in range(pushes):
                pushed += 1
                images.push_image(client, REPOSITORY, f"t{pushed}", 1_000_000)
        return (_settled_ms(registry) - before_ms) / pushes

    def get_ms(registry: Registry) -> float:
        context.say(f"getting manifests {registry.name}")
        before_ms = process_tree.processor_ms(registry.pid).total()
        with Client(registry) as client:
            for _ in range(gets):
                client.ask("GET", f"/v2/{REPOSITORY}/manifests/latest", expected=200)
        return (process_tree.processor_ms(registry.pid).total() - before_ms) / gets

    with ExitStack() as stack:
        registries = {
            name: stack.enter_context(context.serving(context.zot, f"search-cost-{setup.search}", setup))
            for name, setup in _SETUPS.items()
        }
        for registry in registries.values():
            with Client(registry) as client:
                images.push_image(client, REPOSITORY, "latest", 1_000_000)
        for what, used_ms, aim in (
            ("push of 1 MB with search, processor time", push_ms, "≤ 1.03 of it"),
            ("manifest GET with search, processor time", get_ms, "the same"),
        ):
            samples = alternate(registries, runs, used_ms)
            yield Figure(what, "ms", samples.pop("with search"), samples, more_is_better=False, aim=aim)


def _settled_ms(registry: Registry) -> float:
    process_tree.settle(registry.pid)
    return process_tree.processor_ms(registry.pid).total()
