"""Markdown of clients as HTML that is safe to show: no HTML of theirs, no images, no scripts, no other styles.

Links lead to web pages alone, and tell these nothing of the registry. An image becomes a link to it: the pages load
nothing from elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from markupsafe import Markup, escape

from zot.extensions.ui.rendering import is_link

SOURCE_LIMIT_BYTES = 64 * 1024
"""The longest text that is rendered; of a longer one the beginning."""
_OUTPUT_LIMIT = 256 * 1024
_NESTING_LIMIT = 20
# What texts of people have much less of, and what takes a parser long.
_MARKS_LIMITS = {"[": 4000, "|": 8000, "*": 16000, "_": 16000, "~": 8000, "\n": 8000}
_LINK = {"rel": "noopener noreferrer nofollow"}


class _SafeRenderer(RendererHTML):
    """Writes tokens as HTML; text and attributes are escaped by the library."""

    def image(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """Write a link to an image, with its alternative text."""
        token = tokens[idx]
        address = str(token.attrs.get("src", ""))
        text = self.renderInlineAsText(token.children, options, env) or "image"
        if not is_link(address):
            return str(escape(text))
        # Within a link the text alone: links do not nest.
        if sum(each.nesting for each in tokens[:idx] if each.type in {"link_open", "link_close"}):
            return str(escape(text))
        return str(Markup('<a href="{}" rel="{}">{}</a>').format(address, _LINK["rel"], text))

    def fence(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """Write a block of code, which keys can scroll."""
        del options, env
        return str(Markup('<pre tabindex="0">{}</pre>\n').format(tokens[idx].content))

    code_block = fence

    def table_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """Begin a table, which keys can scroll on a narrow screen."""
        del tokens, idx, options, env
        return '<div class="scroll" tabindex="0"><table>\n'

    def table_close(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """End a table."""
        del tokens, idx, options, env
        return "</table></div>\n"


def _parser() -> MarkdownIt:
    options = {"html": False, "linkify": False, "maxNesting": _NESTING_LIMIT}
    parser = MarkdownIt("commonmark", options, renderer_cls=_SafeRenderer).enable(["table", "strikethrough"])
    parser.core.ruler.push("safe", lambda state: _mend(state.tokens))
    return parser


def _mend(tokens: list[Token]) -> None:
    """Make links lead to web pages alone, headings fit below the page's, and remove styles."""
    for token in tokens:
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{min(6, int(token.tag[1:]) + 1)}"
        elif token.type in {"th_open", "td_open"}:
            token.attrs = {}
        for child in token.children or ():
            if child.type == "link_open":
                address = str(child.attrs.get("href", ""))
                child.attrs = {"href": address, **_LINK} if is_link(address) else {}


_PARSER = _parser()


def render_markdown(source: str) -> Markup:
    """Return the HTML of a Markdown text. Blocks for up to a second if the text is made for it: for a thread.

    A text that would take long, or whose HTML is too large, is shown as it is.
    """
    if all(source.count(mark) <= limit for mark, limit in _MARKS_LIMITS.items()):
        html = str(_PARSER.render(source))
        if len(html) <= _OUTPUT_LIMIT:
            return Markup(html)  # noqa: S704 (made by the parser, which escapes what clients wrote)
    return Markup('<pre tabindex="0">{}</pre>').format(source)
