"""The shipped etc/mailgw.toml and etc/filters.toml, written from the schema.

What the files say about a key is what the schema says, so they cannot drift apart; a test keeps the shipped ones equal.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args, get_type_hints

import attrs
from cattrs.cols import is_mapping

from mailgw.config.schema import DEFAULT_COMBINATIONS, DEFAULT_RATES, FilterFile, Override, Settings
from mailgw.config.text import quote_key

_WIDTH = 100

_MAIN_HEAD = """\
mailgw.toml: ports, domains, queue and relay. Times are seconds, sizes octets. Paths are relative to this file's folder
where they are not absolute. A key that is commented out shows its default, a section that is shows an example; those of
[rates] hold.
`mailgw check` tells what is wrong.
"""

_FILTERS_HEAD = """\
filters.toml: what evidence is worth, and the settings of filters. Every filter states symbols; the weights of what it
stated make the score; the score makes the verdict. A key that is commented out shows its default.
"""

# What the shipped file sets: an organisation's gateway with the three usual ports.
_EXAMPLE: Mapping[str, Any] = {
    "hostname": "mail.example.org",
    "domains": {"example.org": {}},
    "listeners": {
        "mx": {"addresses": ["0.0.0.0:25"]},
        "submissions": {"addresses": ["0.0.0.0:465"], "kind": "submission", "tls": "implicit"},
        "submission": {"addresses": ["0.0.0.0:587"], "kind": "submission", "tls": "starttls"},
    },
    "tls": {"certificate_file": "tls/fullchain.pem", "key_file": "tls/privkey.pem"},
}


def _default(field: Any) -> Any:
    # Factories of the schema take no arguments.
    return field.default.factory() if isinstance(field.default, attrs.Factory) else field.default  # type: ignore[arg-type]


# Sections that it shows without setting them: examples, and the rates that hold.
_COMMENTED: Mapping[str, Any] = {
    "routes": {
        "smarthost": {
            "hosts": ["smtp.example.net:587"],
            "tls": "verified",
            "username": "gateway@example.org",
            "password_file": "smarthost.password",
        }
    },
    "rules": {"newsletter": {"senders": ["news.example.org"], "via": "route:smarthost"}},
    "send_as": {"alice@example.org": {"addresses": ["info@example.org", "*.lists.example.org"]}},
    "sites": {"*.mail.example": {"concurrency": 3, "messages": 100}},
    "tls_policies": {"bank.example": {"tls": "verified"}},
    "rates": {
        name: attrs.asdict(rate, filter=lambda field, value: value != ()) for name, rate in DEFAULT_RATES.items()
    },
    "combinations": {
        name: attrs.asdict(combination, filter=lambda field, value: value != _default(field))
        for name, combination in DEFAULT_COMBINATIONS.items()
    },
}

_OVERRIDE = (
    '#[recipients."alice@example.org".thresholds]',
    "#spam = 8",
    '#[recipients."sales.example.org".scores]',
    "#NO_RDNS = 0",
    '#[users."newsletter@example.org".thresholds]',
    "#outbound_hold = 11",
)


def main_file() -> str:
    """Give the text of the shipped mailgw.toml."""
    return _text([*_comment(_MAIN_HEAD), "", *_section(Settings, "", _EXAMPLE)])


def filter_file(filters: Sequence[tuple[Any, Any]], symbols: Mapping[str, Mapping[str, float]]) -> str:
    """Give the text of the shipped filters.toml.

    `filters` are filter classes (filters.base.Filter) with the classes of their settings. `symbols` are those of
    other steps with their weights, by the name of the step.
    """
    weights = {**symbols, **{filter_class.name: filter_class.symbols for filter_class, _ in filters}}
    hints = get_type_hints(FilterFile)
    fields = attrs.fields_dict(FilterFile)
    lines = [*_comment(_FILTERS_HEAD), "", *_comment(hints["thresholds"].__doc__), "[thresholds]"]
    lines += _keys(hints["thresholds"], {}, explain=True)
    actions = ", ".join(f"`{action}`" for action in get_args(get_args(hints["rules"])[1]))
    lines += ["", *_comment(f"{fields['rules'].metadata['doc']} One of {actions}. For example:"), "[rules]"]
    lines += ['#DMARC_FAIL_REJECT = "reject"', '#CLAMAV_VIRUS = "reject"']
    lines += ["", *_comment(fields["scores"].metadata["doc"]), "[scores]"]
    for source, scores in weights.items():
        if scores:
            lines += [f"# {source}:"]
            lines += [f"#{quote_key(symbol)} = {_value(weight)}" for symbol, weight in sorted(scores.items())]
    lines += ["", *_comment(Override.__doc__), *_OVERRIDE]
    for name in ("greylisting", "dmarc"):
        lines += ["", *_comment(hints[name].__doc__), f"[{name}]", *_keys(hints[name], {}, explain=True)]
    lines += ["", *_comment(fields["combinations"].metadata["doc"] + " These hold:")]
    lines += _named_sections(get_args(hints["combinations"])[1], "combinations", None, _COMMENTED["combinations"])
    for number, (filter_class, settings) in enumerate(filters):
        name = f"filters.{quote_key(filter_class.name)}"
        lines += ["", *_comment(filter_class.__doc__), f"[{name}]"]
        lines += _keys(settings, {}, explain=True, known=_same_keys(settings, filters[0][1]) if number else ())
        lines += _shown_sections(settings, name)
    return _text(lines)


def _same_keys(settings: Any, other: Any) -> set[str]:
    """Give the keys that both sections have, with the same comment."""
    fields, others = attrs.fields_dict(settings), attrs.fields_dict(other)
    return {name for name in fields.keys() & others.keys() if fields[name].metadata == others[name].metadata}


def _section(cls: Any, path: str, example: Mapping[str, Any]) -> Iterator[str]:
    """Write an attrs class: its keys, then its sections."""
    yield from _keys(cls, example, explain=True)
    hints = get_type_hints(cls)
    for field in attrs.fields(cls):
        kind = hints[field.name]
        name = f"{path}{field.name}"
        if attrs.has(kind):
            yield from ("", *_comment(kind.__doc__), f"[{name}]")
            yield from _section(kind, f"{name}.", example.get(field.name, {}))
        elif is_mapping(kind):
            yield from _named_sections(get_args(kind)[1], name, example.get(field.name), _COMMENTED.get(field.name))


def _shown_sections(settings: Any, path: str) -> Iterator[str]:
    """Write the named sections that a filter's settings show as an example."""
    hints = get_type_hints(settings)
    for field in attrs.fields(settings):
        if is_mapping(hints[field.name]):
            shown = {name: _changed(item) for name, item in field.metadata["shown"].items()}
            yield from _named_sections(get_args(hints[field.name])[1], f"{path}.{field.name}", None, shown)


def _changed(item: Any) -> Mapping[str, Any]:
    """The keys of an instance that are not as they are by default."""
    return {f.name: getattr(item, f.name) for f in attrs.fields(type(item)) if getattr(item, f.name) != f.default}


def _named_sections(
    kind: Any, name: str, shown: Mapping[str, Any] | None, commented: Mapping[str, Any] | None
) -> Iterator[str]:
    """Write sections that have names of their own; the first one explains the keys."""
    for number, (key, values) in enumerate((shown or commented or {}).items()):
        lines = [f"[{name}.{quote_key(key)}]"]
        lines += _keys(kind, values, explain=number == 0)
        if shown is None:
            lines = [line if line.startswith("#") else f"#{line}" for line in lines]
        yield ""
        if number == 0:
            yield from _comment(kind.__doc__)
        yield from lines


def _keys(cls: Any, values: Mapping[str, Any], *, explain: bool, known: Any = ()) -> list[str]:
    """Write the keys of a section: those in `values` set, the others with their defaults, commented out.

    Without `explain` only what is set is written. Keys in `known` get no comment.
    """
    lines: list[str] = []
    hints = get_type_hints(cls)
    for field in attrs.fields(cls):
        if attrs.has(hints[field.name]) or is_mapping(hints[field.name]):
            continue
        if explain and field.name not in known:
            lines += _comment(field.metadata["doc"])
        if field.name in values:
            lines.append(f"{field.name} = {_value(values[field.name])}")
        elif explain:
            lines.append(f"#{field.name} = {_value(_default(field))}")
    return lines


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # A JSON string with its characters as they are is a TOML basic string.
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(_value(item) for item in value)}]"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _comment(text: str | None) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(" ".join((text or "").split()), _WIDTH, break_on_hyphens=False)]


def _text(lines: Sequence[str]) -> str:
    return "\n".join(lines) + "\n"
