"""HTML to the text that a reader sees, and its links. Linear in time, whatever comes.

The standard library's `html.parser` is not used: it takes 52 seconds for 64 KB of `<a <a <a`. Here one expression takes
the markup out, in one pass. It knows the states of the HTML standard (13.2.5) that decide where a tag ends, since a
browser shows what stands behind it; and what it has passed it never looks at again but for a tag without an end.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from attrs import frozen

MAX_TAGS = 50_000
MAX_URL = 2048

# Possessive: where no ">" follows, the match fails after one pass, and the last branch of _MARKUP takes the rest.
# A quote opens a value only behind "="; anywhere else it is a character of a name (13.2.5.32 to 13.2.5.40).
_ATTRIBUTES = r"""(?:[^>=]++|=\s*+(?:"[^"]*+"|'[^']*+')?+)*+"""
_INVISIBLE = r"script|style|template|noframes|iframe"
_BLOCK = (
    r"address|article|aside|blockquote|body|br|button|caption|dd|div|dl|dt|fieldset|figure|footer|h[1-6r]|head|header"
    r"|input|li|main|nav|ol|option|p|pre|section|table|t[dhr]|title|ul"
)
_MARKUP = re.compile(
    r"<(?=[a-z/!?])(?:"
    rf"(?:/|(?!(?:{_INVISIBLE})[\s/>]))(?:({_BLOCK})(?=[\s/>]){_ATTRIBUTES}>|[a-z][^\s/>]*+({_ATTRIBUTES})>)"
    rf"|({_INVISIBLE})(?=[\s/>]){_ATTRIBUTES}>[\s\S]*?(?:</\3(?=[\s/>])[^>]*+>?|\Z)"
    r"|!--(?:-?>|[\s\S]*?(?:-->|\Z))"
    r"|(?:[!?]|/(?![a-z]))[^>]*+(?:>|\Z)"  # a declaration, or what the standard calls a bogus comment
    r"|/?[a-z][\s\S]*\Z"  # the document ends within a tag: a browser shows nothing of it
    r")",
    re.IGNORECASE,
)
_LINK = re.compile(r"""(?<![^\s"'/])(?:href|src|action)\s*+=\s*+(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)
_URL = re.compile(r"(?:https?|ftp):/|//", re.IGNORECASE)
_URL_NOISE = re.compile(r"[\x00-\x1f]+")
_LONG_REFERENCE = re.compile(r"&#[0-9A-Fa-fxX]{20,}+;?")


@frozen
class HtmlText:
    """`text` has a line end where a block ends; `urls` are those of href, src and action, in their order."""

    text: str
    urls: tuple[str, ...]


def read_html(source: str) -> HtmlText:
    """Give the text and the links of an HTML document, of at most MAX_TAGS tags of it."""
    pieces = _MARKUP.split(source, MAX_TAGS)  # text, then block, attributes, invisible, text, ...
    text = [pieces[0]]
    for block, shown in zip(pieces[1::4], pieces[4::4], strict=True):
        if block:
            text.append("\n")
        text.append(shown)
    if len(pieces) > 4 * MAX_TAGS:
        text.pop()  # it was not split
    linking = dict.fromkeys(attributes for attributes in pieces[2::4] if attributes and "/" in attributes)
    urls = [url for attributes in linking for url in _links(attributes)]
    return HtmlText(unescape("".join(text)), tuple(urls))


def unescape(text: str) -> str:
    """Replace character references (HTML 13.5)."""
    if "&" not in text:
        return text
    try:
        return html.unescape(text)
    except ValueError:  # a number of more digits than int() reads
        return html.unescape(_LONG_REFERENCE.sub("\ufffd", text))


def _links(attributes: str) -> Iterator[str]:
    for match in _LINK.finditer(attributes):
        value = unescape((match.group(1) or match.group(2) or match.group(3) or "").strip())
        url = _URL_NOISE.sub("", value[:MAX_URL])  # browsers drop line ends and tabs within a URL
        if _URL.match(url):
            yield url
