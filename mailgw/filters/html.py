"""HTML to the text that a reader sees, and its links. Linear in time, whatever comes.

The standard library's `html.parser` is not used: it takes 52 seconds for 64 KB of `<a <a <a`. Here one expression takes
the markup out, in one pass. It knows the states of the HTML standard (13.2.5) that decide where a tag ends, since a
browser shows what stands behind it; and what it has passed it never looks at again but for a tag without an end.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence

from attrs import frozen

MAX_TAGS = 50_000
MAX_URL = 2048
MAX_ANCHORS = 4096
MAX_SHOWN = 512
"""Characters of a link's text that are kept."""

# Possessive: where no ">" follows, the match fails after one pass, and the last branch of _MARKUP takes the rest.
# A quote opens a value only behind "="; anywhere else it is a character of a name (13.2.5.32 to 13.2.5.40).
_ATTRIBUTES = r"""(?:[^>=]++|=\s*+(?:"[^"]*+"|'[^']*+')?+)*+"""
_INVISIBLE = r"script|style|template|noframes|iframe"
_BLOCKS = (
    "address article aside blockquote body br button caption dd div dl dt fieldset figure footer h1 h2 h3 h4 h5 h6 hr"
    " head header input li main nav ol option p pre section table td th tr title ul"
)
_BLOCK = frozenset(_BLOCKS.split())
_MARKUP = re.compile(
    r"<(?=[a-z/!?])(?:"
    rf"(?!(?:{_INVISIBLE})[\s/>])(/?[a-z][^\s/>]*+)({_ATTRIBUTES})>"
    rf"|({_INVISIBLE})(?=[\s/>]){_ATTRIBUTES}>[\s\S]*?(?:</\3(?=[\s/>])[^>]*+>?|\Z)"
    r"|!--(?:-?>|[\s\S]*?(?:-->|\Z))"
    r"|(?:[!?]|/(?![a-z]))[^>]*+(?:>|\Z)"  # a declaration, or what the standard calls a bogus comment
    r"|/?[a-z][\s\S]*\Z"  # the document ends within a tag: a browser shows nothing of it
    r")",
    re.IGNORECASE,
)
_LINK = re.compile(r"""(?<![^\s"'/])(?:href|src|action)\s*+=\s*+(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)
# What leads to another host: a scheme with or without its slashes, either kind of them (URL Standard 4.4), or `www.`,
# of which mail programs make a link.
_URL = re.compile(r"(?:https?|ftp):|[/\\]{2}|www\.", re.IGNORECASE)
_URL_NOISE = re.compile(r"[\x00-\x1f]+")
_HIDES = re.compile(
    r"""style\s*+=\s*+["'][^"']*?(?:display\s*+:\s*+none|visibility\s*+:\s*+hidden"""
    r"""|(?:font-size|opacity)\s*+:\s*+0(?![.\d]))""",
    re.IGNORECASE,
)
_VOID = frozenset(("img", "br", "hr", "input", "meta", "link", "body", "html"))
_PASSWORD = re.compile(r"type\s*+=\s*+[\"']?password", re.IGNORECASE)
_LONG_REFERENCE = re.compile(r"&#[0-9A-Fa-fxX]{20,}+;?")


@frozen
class Anchor:
    """A link to click on: where it leads, and the text (each run of space one space) that a reader sees of it."""

    url: str
    shown: str


@frozen
class HtmlText:
    """`text` has a line end where a block ends; `anchors` are the links of <a> and `urls` those of any other tag's
    href, src and action, once each, in their order; `mailto` are the addresses of mailto: links, as written.
    `hidden` are the characters of the text that its style hides; `images` counts <img>, `passwords` fields for one."""

    text: str
    anchors: tuple[Anchor, ...]
    urls: tuple[str, ...]
    mailto: tuple[str, ...] = ()
    hidden: int = 0
    images: int = 0
    passwords: int = 0


def read_html(source: str) -> HtmlText:
    """Give the text and the links of an HTML document, of at most MAX_TAGS tags of it."""
    pieces = _MARKUP.split(source, MAX_TAGS)  # text, then tag, attributes, invisible, text, ...
    if len(pieces) > 4 * MAX_TAGS:
        pieces[-1] = ""  # it was not split
    text = [pieces[0]]
    hiding = _Hiding()
    counts = {"img": 0, "input": 0}
    others: dict[str, None] = {}
    anchors: list[tuple[str, int, int]] = []  # attributes; where in `text` the link's text begins and ends
    opened = ""
    start = 0
    for tag, attributes, shown in zip(pieces[1::4], pieces[2::4], pieces[4::4], strict=True):
        if tag:
            name = tag.lower()
            if name in ("a", "/a"):
                if opened:
                    anchors.append((opened, start, len(text)))
                opened, start = (attributes, len(text)) if name == "a" else ("", 0)
            elif name.removeprefix("/") in _BLOCK:
                text.append("\n")
            if attributes:
                if "/" in attributes and name != "a":
                    others[attributes] = None
                if name in counts and (name == "img" or _PASSWORD.search(attributes)):
                    counts[name] += 1
            hiding.see(name, attributes, shown)
        text.append(shown)
    if opened:
        anchors.append((opened, start, len(text)))
    mailto: dict[str, None] = {}
    found = tuple(
        Anchor(url, _spaced(text[start:end]))
        for attributes, start, end in anchors[:MAX_ANCHORS]
        for url in _links(attributes, mailto)
    )
    urls = dict.fromkeys(url for attributes in others for url in _links(attributes, mailto))
    shown = unescape("".join(text))
    return HtmlText(shown, found, tuple(urls), tuple(mailto), hiding.hidden, counts["img"], counts["input"])


class _Hiding:
    """Counts the characters within elements that are not shown. An element ends with the end tag of its name; those of
    the same name within it are counted."""

    def __init__(self) -> None:
        self.hidden = 0
        self._known: dict[str, bool] = {}
        self._name = ""
        self._depth = 0

    def see(self, name: str, attributes: str, shown: str) -> None:
        if self._name:
            if name == self._name:
                self._depth += 1
            elif name[:1] == "/" and name[1:] == self._name:
                self._depth -= 1
                if not self._depth:
                    self._name = ""
        elif attributes and ("style" in attributes or "STYLE" in attributes) and name not in _VOID:
            hides = self._known.get(attributes)
            if hides is None:
                hides = self._known[attributes] = bool(_HIDES.search(attributes))
            if hides:
                self._name, self._depth = name, 1
        if self._name:
            self.hidden += len(shown) - shown.count(" ")


def _spaced(pieces: Sequence[str]) -> str:
    return " ".join(unescape("".join(pieces)[: 4 * MAX_SHOWN]).split())[:MAX_SHOWN]


def unescape(text: str) -> str:
    """Replace character references (HTML 13.5)."""
    if "&" not in text:
        return text
    try:
        return html.unescape(text)
    except ValueError:  # a number of more digits than int() reads
        return html.unescape(_LONG_REFERENCE.sub("\ufffd", text))


def _links(attributes: str, mailto: dict[str, None]) -> Iterator[str]:
    for match in _LINK.finditer(attributes):
        value = unescape((match.group(1) or match.group(2) or match.group(3) or "").strip())
        url = _URL_NOISE.sub("", value[:MAX_URL])  # browsers drop line ends and tabs within a URL
        if _URL.match(url):
            yield url
        elif url[:7].lower() == "mailto:":
            mailto[url[7:].partition("?")[0]] = None
