"""The measurements, in the order in which they run: what is quick to see comes first."""

from collections.abc import Callable, Iterator

from bench.context import Context
from bench.figures import Figure
from bench.measurements import (
    authentication,
    blob_pull,
    blob_push,
    catalog,
    catalog_engines,
    commit,
    first_answer,
    first_start,
    manifest_get,
    manifest_latency,
    memory,
    pages,
    processor_time,
    push_row,
    search_cost,
    search_filling,
    tag_push,
    tls_pull,
    workloads,
)

Measurement = Callable[[Context], Iterator[Figure]]

ALL: dict[str, Measurement] = {
    "manifest-get": manifest_get.measure,
    "manifest-latency": manifest_latency.measure,
    "authentication": authentication.measure,
    "tag-push": tag_push.measure,
    "push-row": push_row.measure,
    "commit": commit.measure,
    "blob-pull": blob_pull.measure,
    "tls-pull": tls_pull.measure,
    "blob-push": blob_push.measure,
    "catalog": catalog.measure,
    "catalog-engines": catalog_engines.measure,
    "first-answer": first_answer.measure,
    "first-start": first_start.measure,
    "memory": memory.measure,
    "search-filling": search_filling.measure,
    "pages": pages.measure,
    "search-cost": search_cost.measure,
    "processor-push": processor_time.measuring("Push Monolith 1MB", 192, "≤ 8"),
    "processor-push-chunked": processor_time.measuring("Push Chunk Streamed 1MB", 192),
    "processor-pull": processor_time.measuring("Pull 1MB", 800, "≤ 1.9"),
    "processor-mixed": processor_time.measuring("Pull 75% and Push 25% Mixed 1MB", 400),
    "processor-pull-large": processor_time.measuring("Pull 100MB", 32),
    "workloads": workloads.measure,
}
