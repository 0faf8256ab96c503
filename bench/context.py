"""What every measurement is given: the programs to measure, a place for their data, how thorough to be."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.registries import Registry, Setup, Side, serving

ALONE = Setup()


@dataclass(frozen=True)
class Context:
    """Passed to each measurement."""

    zot: Side
    peer: Side | None
    folder: Path
    """On the disk that is measured; removed at the end."""
    quick: bool
    """Fewer runs, tags and bytes: to see that it works, not for figures to rely on."""
    say: Callable[[str], None]
    """Shows what is being done."""

    @property
    def runs(self) -> int:
        """How many runs the median of a short measurement is taken of."""
        return 3 if self.quick else 7

    def store(self, side: Side, name: str) -> Path:
        """Return the folder of a side's store: measurements that name the same one find what others pushed."""
        return self.folder / name / side.name.replace("/", "_")

    @contextmanager
    def serving(self, side: Side, store: str, setup: Setup = ALONE) -> Iterator[Registry]:
        """Serve one store by one program until the context ends."""
        with serving(side, self.store(side, store), setup) as registry:
            yield registry

    @contextmanager
    def both(self, store: str, setup: Setup = ALONE) -> Iterator[dict[str, Registry]]:
        """Serve by this registry and by its peer, if there is one that can, each with a store of its own."""
        with ExitStack() as stack:
            yield {
                side.name: stack.enter_context(self.serving(side, store, setup))
                for side in (self.zot, self.peer)
                if side and side.can(setup)
            }
