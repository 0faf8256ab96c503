"""Markdown of clients becomes HTML that runs nothing, loads nothing and leads to web pages alone."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zot.extensions.ui.markdown import SOURCE_LIMIT_BYTES, render_markdown

TAGS = frozenset(
    {"a", "blockquote", "br", "code", "del", "div", "em", "hr", "li", "ol", "p", "pre", "s", "strong", "ul"}
)
TAGS |= {"h2", "h3", "h4", "h5", "h6", "table", "tbody", "td", "th", "thead", "tr"}
ATTRIBUTES = frozenset({"href", "rel", "title", "tabindex", "class", "start"})


class _Seen(HTMLParser):
    """Holds what it reads to what may be in a page."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS, tag
        for name, value in attrs:
            assert name in ATTRIBUTES, name
            if name == "href":
                assert (value or "").startswith(("http://", "https://")), value
                assert dict(attrs)["rel"] == "noopener noreferrer nofollow"


def held(source: str) -> str:
    """Return the HTML of a text, which has nothing in it that may not be there."""
    html = str(render_markdown(source))
    _Seen().feed(html)
    return html


def test_what_authors_write_is_shown() -> None:
    html = held(
        "# App\n\nA *good* [page](https://example.org/a).\n\n|a|b|\n|:-|-:|\n|1|2|\n\n~~old~~\n\n```sh\nrun <it>\n```\n"
    )
    assert "<h2>App</h2>" in html
    assert '<a href="https://example.org/a" rel="noopener noreferrer nofollow">page</a>' in html
    assert "<td>1</td>" in html
    assert "<s>old</s>" in html
    assert "run &lt;it&gt;" in html


HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[a](javascript:alert(1))",
    "[a](JAVASCRIPT:alert(1))",
    "[a](\tjavascript:alert(1))",
    "[a](data:text/html;base64,PHNjcmlwdD4=)",
    "[a](vbscript:x)",
    "[a](file:///etc/passwd)",
    "[a](//evil.example/x)",
    "[a](/ui/delete)",
    '[a](https://x/ "onmouseover=alert(1)")',
    '[a](https://x/"onmouseover="alert(1))',
    "![a](javascript:alert(1))",
    "![a](https://x/pixel.png)",
    "[![a](https://x/pixel.png)](javascript:alert(1))",
    "[![a](https://x/pixel.png)](https://x/)",
    '![a"onerror=alert(1)](https://x/pixel.png)',
    "<javascript:alert(1)>",
    "<https://x/?<script>>",
    "[a]: javascript:alert(1)\n\n[a]",
    "`<script>`",
    "    <script>\n",
    "```<script>\n</pre><script>\n```",
    "|<script>|b|\n|:-:|-|\n|<img src=x>|2|",
    "&lt;script&gt;&#x3c;script&#x3e;",
    "\u202etxt\u0000<b>",
)


@pytest.mark.parametrize("source", HOSTILE)
def test_hostile_text_runs_nothing(source: str) -> None:
    html = held(source)
    assert "<script" not in html
    assert "<img" not in html
    assert "style=" not in html


@given(
    st.lists(
        st.sampled_from([*HOSTILE, "\n", "> ", "- ", "# ", "*", "_", "`", "[", "](", ")", "|", "<", "a"]), max_size=30
    )
)
def test_no_combination_gets_through(pieces: list[str]) -> None:
    held("".join(pieces))


@pytest.mark.parametrize("piece", ["[", "![", "*a **a ", "`", ">", "- ", "|a", "[a](", "~~a", "_", "<", "&", "\n> "])
def test_text_that_is_made_to_take_long_is_shown(piece: str) -> None:
    """Its length is bounded, and where it would take a parser long it is shown as it was written."""
    source = (piece * SOURCE_LIMIT_BYTES)[:SOURCE_LIMIT_BYTES]
    assert len(held(source)) < 8 * SOURCE_LIMIT_BYTES
