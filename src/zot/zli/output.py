"""What a query prints: a table when all is known, or a document for each record as it comes."""

from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

import click

from zot.zli.records import ImageRecord

Record = TypeVar("Record")


@dataclass(frozen=True)
class QueryOutput:
    """How a command prints: `form` is `text`, `json`, `jsonl`, `yaml` or `yml`."""

    form: str = "text"
    verbose: bool = False

    @property
    def is_text(self) -> bool:
        """Whether tables are printed, and no documents."""
        return self.form == "text"

    def document(self, value: object) -> None:
        """Print a record, or what JSON has, as a document."""
        from zot.zli.documents import json_line, yaml_document

        write = yaml_document if self.form in {"yaml", "yml"} else json_line
        click.echo(write(value), nl=False)

    def documents(self, values: Iterable[object]) -> None:
        """Print a document for each value."""
        for value in values:
            self.document(value)

    async def records(
        self,
        records: AsyncIterator[Record],
        headings: tuple[str, ...],
        cells: Callable[[Record], tuple[str, ...]],
    ) -> None:
        """Print records as they come; as text at the end, since the widths of columns depend on all of them."""
        from msgspec import to_builtins

        from zot.zli.tables import print_table

        rows = []
        async for each in records:
            if self.is_text:
                rows.append(cells(each))
            else:
                self.document(to_builtins(each))
        if self.is_text:
            print_table(headings, rows)

    async def images(self, pages: AsyncIterator[list[ImageRecord]]) -> None:
        """Print images as their pages come; a table, whose columns depend on all of them, at the end."""
        from zot.zli.tables import ImageTable

        table = ImageTable(verbose=self.verbose)
        async for images in pages:
            if self.is_text:
                for image in images:
                    table.add(image)
            else:
                self.documents(images)
        table.print()
