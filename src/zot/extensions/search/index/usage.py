"""What repositories and images use: bytes by digest, each once, and what deleting frees."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet

from zot.extensions.search.index.images import NEEDED
from zot.extensions.search.index.schema import pack
from zot.extensions.search.index.snapshot import Snapshot
from zot.extensions.search.interface import DayOfGrowth, ImageUsage, RepositoryUsage, Visible
from zot.oci.digest import Digest
from zot.oci.names import Repository, Tag

# The digests and sizes that some contents reference.
_BLOBS = """
SELECT digest, max(size) AS size FROM (
  SELECT digest, own_size AS size FROM content WHERE id IN ({0})
  UNION ALL SELECT config, config_size FROM content WHERE config IS NOT NULL AND id IN ({0})
  UNION ALL SELECT digest, size FROM layer WHERE content IN ({0})
) GROUP BY digest
"""
_MINE = "SELECT content FROM manifest WHERE repository = ?1"
# Whether a manifest for which a condition holds references a digest. The order of the tables is forced: common layers
# have many users, of which the first one is enough.
_IS_USED = """
EXISTS (SELECT 1 FROM layer CROSS JOIN manifest ON manifest.content = layer.content
    WHERE layer.digest = {0} AND {1})
  OR EXISTS (SELECT 1 FROM content CROSS JOIN manifest ON manifest.content = content.id
    WHERE content.config = {0} AND {1})
  OR EXISTS (SELECT 1 FROM content CROSS JOIN manifest ON manifest.content = content.id
    WHERE content.digest = {0} AND {1})
"""
# The order is forced here too: a repository has more manifests than an index lists.
_NEXT = """
SELECT manifest.content FROM child CROSS JOIN content ON content.digest = child.digest
  CROSS JOIN manifest ON manifest.repository = ?1 AND manifest.content = content.id WHERE child.content = ?2
UNION
SELECT content FROM manifest WHERE repository = ?1 AND subject = (SELECT digest FROM content WHERE id = ?2)
"""
_KEEPERS = """
SELECT manifest.content FROM child CROSS JOIN manifest ON manifest.repository = ?1 AND manifest.content = child.content
  WHERE child.digest = (SELECT digest FROM content WHERE id = ?2)
UNION
SELECT other.content FROM manifest JOIN content ON content.digest = manifest.subject
  JOIN manifest AS other ON other.repository = ?1 AND other.content = content.id
  WHERE manifest.repository = ?1 AND manifest.content = ?2
"""
# Descriptors claim any size, and `sum` fails where a sum is beyond 63 bits: this one stays at the greatest integer.
_TOTAL = "CAST(total(size) AS INTEGER)"
_DAY_NS = 86400 * 10**9
# The bytes of each day on which they first came, by what is here now.
_GROWTH = f"""
SELECT day, {_TOTAL} FROM (
  SELECT digest, max(size) AS size, min(day) AS day FROM (
    SELECT content.digest, own_size AS size, pushed_ns / {_DAY_NS} AS day
      FROM manifest JOIN content ON content.id = manifest.content WHERE repository = ?1
    UNION ALL SELECT config, config_size, pushed_ns / {_DAY_NS}
      FROM manifest JOIN content ON content.id = manifest.content WHERE repository = ?1 AND config IS NOT NULL
    UNION ALL SELECT layer.digest, layer.size, pushed_ns / {_DAY_NS}
      FROM manifest JOIN layer ON layer.content = manifest.content WHERE repository = ?1
  ) GROUP BY digest
) GROUP BY day ORDER BY day
"""  # noqa: S608 (a statement of constants)
_KEPT = f"""
WITH RECURSIVE {NEEDED} SELECT {_TOTAL} FROM ({_BLOBS.format("SELECT content FROM needed")})
"""  # noqa: S608 (a statement of constants)
_UNTAGGED = f"""
WITH RECURSIVE {NEEDED} SELECT count(*) FROM manifest WHERE repository = ?1 AND content NOT IN needed
"""  # noqa: S608
_CONTENT = """
SELECT manifest.content FROM content JOIN manifest ON manifest.content = content.id
WHERE manifest.repository = ?1 AND content.digest = ?2
"""
_CLOSURE_LIMIT = 10_000


def repository_usage(snapshot: Snapshot, visible: Visible, name: Repository) -> RepositoryUsage | None:
    """Return what a repository uses. Its cost grows with all that the repository's manifests name."""
    repository = snapshot.repository(visible, name)
    if repository is None:
        return None
    blobs = _BLOBS.format(_MINE)
    ((total,),) = snapshot.rows(f"SELECT {_TOTAL} FROM ({blobs})", repository)  # noqa: S608
    others = f"manifest.repository <> ?1 AND {snapshot.among('manifest.repository', visible)}"
    used = _IS_USED.format("blob.digest", others)
    ((shared,),) = snapshot.rows(f"SELECT {_TOTAL} FROM ({blobs}) AS blob WHERE {used}", repository)  # noqa: S608
    ((kept,),) = snapshot.rows(_KEPT, repository)
    ((count,),) = snapshot.rows(_UNTAGGED, repository)
    return RepositoryUsage(total, total - shared, total - kept, count)


def growth(snapshot: Snapshot, visible: Visible, name: Repository) -> tuple[DayOfGrowth, ...]:
    """Return on which days the bytes of a repository came. Its cost grows with all that its manifests name."""
    repository = snapshot.repository(visible, name)
    rows = snapshot.rows(_GROWTH, repository) if repository is not None else []
    return tuple(DayOfGrowth(day, size) for day, size in rows)


def image_usage(snapshot: Snapshot, visible: Visible, name: Repository, tags: Sequence[Tag]) -> dict[Tag, ImageUsage]:
    """Return what images use, each for itself."""
    found: dict[Tag, ImageUsage] = {}
    repository = snapshot.repository(visible, name)
    for tag in tags if repository is not None else ():
        roots = _roots(snapshot, repository, [tag])
        if roots:
            contents = _closure(snapshot, repository, roots, referrers=False)
            size = sum(size for _, size in _blobs(snapshot, contents))
            found[tag] = ImageUsage(size, _freed(snapshot, repository, roots))
    return found


def freed_bytes(
    snapshot: Snapshot, visible: Visible, name: Repository, tags: Sequence[Tag], manifests: Sequence[Digest]
) -> int:
    """Return the bytes of the repository that nothing needs if some tags and manifests are deleted."""
    repository = snapshot.repository(visible, name)
    if repository is None:
        return 0
    deleted = {content for digest in set(manifests) for (content,) in snapshot.rows(_CONTENT, repository, pack(digest))}
    return _freed(snapshot, repository, _roots(snapshot, repository, tags), deleted)


def _roots(snapshot: Snapshot, repository: int | None, tags: Iterable[Tag]) -> dict[int, int]:
    """Return the contents that tags point to, each with how many of the tags do."""
    roots: dict[int, int] = {}
    for tag in set(tags):
        for (content,) in snapshot.rows("SELECT content FROM image WHERE repository = ? AND tag = ?", repository, tag):
            roots[content] = roots.get(content, 0) + 1
    return roots


def _closure(snapshot: Snapshot, repository: int | None, roots: Iterable[int], *, referrers: bool) -> set[int]:
    """Return contents, with what indexes list and, if asked for, with their referrers."""
    query = _NEXT if referrers else _NEXT.partition("UNION")[0]
    found: set[int] = set()
    left = list(roots)
    while left and len(found) < _CLOSURE_LIMIT:
        content = left.pop()
        if content not in found:
            found.add(content)
            left += [each for (each,) in snapshot.rows(query, repository, content)]
    return found


def _freed(
    snapshot: Snapshot, repository: int | None, roots: dict[int, int], deleted: AbstractSet[int] = frozenset()
) -> int:
    """Return the bytes that nothing else needs; `deleted` are deleted whatever needs them.

    Its cost grows with the manifests that the roots need.
    """
    freed = _closure(snapshot, repository, roots.keys() | deleted, referrers=True)
    kept = [content for content in freed - deleted if _is_kept(snapshot, repository, content, roots, freed)]
    # What is kept keeps all that it needs.
    freed = (freed - _closure(snapshot, repository, kept, referrers=True)) | deleted
    others = f"manifest.repository = ?1 AND manifest.content NOT IN ({_listed(freed)})"
    used = _IS_USED.format("blob.digest", others)
    blobs = _BLOBS.format(_listed(freed))
    ((size,),) = snapshot.rows(f"SELECT {_TOTAL} FROM ({blobs}) AS blob WHERE NOT ({used})", repository)  # noqa: S608
    return int(size)


def _is_kept(snapshot: Snapshot, repository: int | None, content: int, roots: dict[int, int], freed: set[int]) -> bool:
    """Tell whether a content is needed by other tags, by an index, or for its subject."""
    ((tags, is_attached),) = snapshot.rows(
        "SELECT tags, EXISTS (SELECT 1 FROM attached WHERE repository = ?1 AND content = ?2) "
        "FROM manifest WHERE repository = ?1 AND content = ?2",
        repository,
        content,
    )
    if tags > roots.get(content, 0) or is_attached:
        return True
    return any(keeper not in freed for (keeper,) in snapshot.rows(_KEEPERS, repository, content))


def _blobs(snapshot: Snapshot, contents: Iterable[int]) -> list[tuple[bytes, int]]:
    return snapshot.rows(_BLOBS.format(_listed(contents)))


def _listed(contents: Iterable[int]) -> str:
    return ",".join(str(int(content)) for content in contents)
