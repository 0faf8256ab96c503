"""Documents of clients: parsed, bounded and validated, before anything is looked up."""

from __future__ import annotations

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSyntaxError,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    parse,
    validate,
)

from zot.extensions.search.graphql.errors import ErrorCode, GraphQLRequestError, invalid_document, request_error
from zot.extensions.search.graphql.schema import schema

TEXT_LIMIT_BYTES = 16 << 10
TOKENS_LIMIT = 2000
DEFINITIONS_LIMIT = 32
"""The most operations and fragments of a document."""
FIELDS_LIMIT = 300
"""The most fields of all operations, those of a fragment counted wherever it is used."""
ROOT_FIELDS_LIMIT = 8
"""The most queries of one document, each alias counted."""
DEPTH_LIMIT = 24
"""The most selections within selections, fragments included; the introspection of common tools has 19."""
INTROSPECTION_LIMIT = 100_000
"""The most values that introspection may return, by a rough count; that of common tools returns two thirds of it."""
_ERRORS_LIMIT = 10

# About how many entries the lists of introspection have. Lists within lists multiply.
_ENTRIES = {"types": 32, "fields": 12, "args": 3, "inputFields": 4, "enumValues": 8, "directives": 6}


class Document:
    """A valid document of at least one operation."""

    def __init__(self, node: DocumentNode, length: int) -> None:
        self.length = length
        self.fragments = {
            each.name.value: each for each in node.definitions if isinstance(each, FragmentDefinitionNode)
        }
        self._operations = [each for each in node.definitions if isinstance(each, OperationDefinitionNode)]

    def operation(self, name: str) -> OperationDefinitionNode:
        """Return an operation by name; empty: the only one. Raises GraphQLRequestError."""
        if not name and len(self._operations) == 1:
            return self._operations[0]
        for each in self._operations:
            if each.name is not None and each.name.value == name:
                return each
        raise request_error(f"operation {name[:200]} not found", ErrorCode.VALIDATION)


def read_document(text: str) -> Document:
    """Parse and validate a document. Raises GraphQLRequestError.

    It takes some milliseconds, up to 50 for the worst document within the limits.
    """
    if not text.strip():
        raise request_error("no operation provided", ErrorCode.VALIDATION)
    if len(text.encode(errors="replace")) > TEXT_LIMIT_BYTES:
        raise _too_complex(f"the query has more than {TEXT_LIMIT_BYTES} bytes")
    try:
        node = parse(text, max_tokens=TOKENS_LIMIT)
    except GraphQLSyntaxError as error:
        raise invalid_document([error], ErrorCode.PARSE) from error
    document = Document(node, len(text))
    size = _Size(document.fragments)
    size.check(node)
    # Suggestions would tell nothing secret, but comparing names costs time.
    if errors := validate(schema(), node, max_errors=_ERRORS_LIMIT, hide_suggestions=True):
        raise invalid_document([each for each in errors if _is_plain(each)] or errors, ErrorCode.VALIDATION)
    size.check_introspection(node)
    return document


def _is_plain(error: GraphQLError) -> bool:
    """Tell whether an error is of the document, and not the note that there are more."""
    return bool(error.locations)


class _Size:
    """Counts the fields of a document before it is validated: validation takes quadratic time in them."""

    def __init__(self, fragments: dict[str, FragmentDefinitionNode]) -> None:
        self._fragments = fragments
        self._counted: dict[str, tuple[int, int]] = {}

    def check(self, node: DocumentNode) -> None:
        """Raise GraphQLRequestError if the document is too complex."""
        if len(node.definitions) > DEFINITIONS_LIMIT:
            raise _too_complex(f"the query has more than {DEFINITIONS_LIMIT} operations and fragments")
        fields = 0
        for each in node.definitions:
            if isinstance(each, OperationDefinitionNode):
                within, roots = self._count(each.selection_set, 1)
                fields += within
                if roots > ROOT_FIELDS_LIMIT:
                    raise _too_complex(f"the query has more than {ROOT_FIELDS_LIMIT} fields at its root")
        if fields > FIELDS_LIMIT:
            raise _too_complex(f"the query has more than {FIELDS_LIMIT} fields")

    def check_introspection(self, node: DocumentNode) -> None:
        """Raise GraphQLRequestError if a valid document asks too much of the schema."""
        for each in node.definitions:
            if isinstance(each, OperationDefinitionNode) and self._values(each.selection_set) > INTROSPECTION_LIMIT:
                raise _too_complex(f"the introspection returns more than about {INTROSPECTION_LIMIT:,} values")

    def _values(self, selections: SelectionSetNode) -> int:
        total = 0
        for each in selections.selections:
            if isinstance(each, FieldNode):
                within = self._values(each.selection_set) if each.selection_set else 0
                total += _ENTRIES.get(each.name.value, 1) * (1 + within)
            elif isinstance(each, FragmentSpreadNode):
                total += self._values(self._fragments[each.name.value].selection_set)
            elif isinstance(each, InlineFragmentNode):
                total += self._values(each.selection_set)
        return total

    def _count(self, selections: SelectionSetNode, depth: int) -> tuple[int, int]:
        """Return how many fields there are in all, and at this level."""
        if depth > DEPTH_LIMIT:
            raise _too_complex(f"the query has more than {DEPTH_LIMIT} levels")
        total = level = 0
        for each in selections.selections:
            if isinstance(each, FieldNode):
                level += 1
                total += 1 + (self._count(each.selection_set, depth + 1)[0] if each.selection_set else 0)
                continue
            if isinstance(each, FragmentSpreadNode):
                fields, here = self._of_fragment(each.name.value, depth)
            elif isinstance(each, InlineFragmentNode):
                fields, here = self._count(each.selection_set, depth + 1)
            else:
                continue  # there is no other selection
            total, level = total + fields, level + here
        return total, level

    def _of_fragment(self, name: str, depth: int) -> tuple[int, int]:
        if name not in self._counted:
            self._counted[name] = (0, 0)  # of a fragment within itself, which validation refuses
            fragment = self._fragments.get(name)
            if fragment is not None:
                self._counted[name] = self._count(fragment.selection_set, depth + 1)
        return self._counted[name]


def _too_complex(message: str) -> GraphQLRequestError:
    return request_error(message, ErrorCode.COMPLEXITY)
