"""Filters: each looks at a transaction and states evidence.

Takes: a transaction with its message. Gives: Evidence. May not: reply, reject, weigh, or change the message;
what evidence is worth stands in etc/filters.toml and is weighed in `verdict`. One file for each filter.

To add a filter:

1. Write `mailgw/filters/NAME.py` with one class:

       @frozen
       class LinksSettings(FilterSettings):                       # only when it has settings of its own
           most: int = field(default=50, metadata={"doc": "Links that are still usual."})

       class Links:
           name = "links"                                         # its section is [filters.links]
           symbols = {"MANY_LINKS": 1.5}                          # all that it may state, with default weights

           def __init__(self, settings: LinksSettings) -> None:   # and the interfaces that it needs
               self.settings = settings

           async def check(self, transaction: Transaction) -> list[Evidence]:
               ...
               return [Evidence("MANY_LINKS", f"{count} links", strength=min(count / 500, 1.0))]

   A symbol is a fact in capitals; the detail says what was seen, in words for the postmaster, with text of the
   message put through `text.show`. `strength` (0.0 to 1.0) grades it. An empty list says that nothing was seen.
2. Put one line into `FILTERS` in `catalogue.py`. What the constructor needs beyond `Services` is added there. For one
   of another package, a `class` in its section takes the place of that line: README says how.
3. Put messages into `tests/evidence/NAME.txt`, each with the symbols that are expected and those that are not.

What the runner does for it: all filters run at once; each is cancelled after its `time_limit`; one that raises states
FILTER_ERROR and is logged with the ids; `on_error = "defer"` answers 451 then. What the filter has to see to: it does
not block (disk and more than a few milliseconds of work go through `threads.run`), and every loop over what came with
the message has a bound. A filter that awaits nothing costs no Deferred. What the types of its settings cannot say about
them, their `findings` do. A filter that asks another program does so through `engines`: see `clamav`.

What a filter reads of a message's content it takes from its `anatomy`, which is made once for all filters:

       anatomy = await self._anatomies.of(transaction)            # `Services.anatomies`
       for link in anatomy.links: ...                             # also: parts, texts, body, addresses, urls, hosts

How the pieces lie: `base` what a filter is; `runner` runs them, with `waiting`; `catalogue` makes them from etc, and
`foreign` finds those of other packages; `anatomy` takes messages apart, by `mime`, `charset`, `html`, `links`,
`domains`, `magic`; `addresses`, `identities` and `dates` read fields, `text` shows; `archives` (`listing`, `packed`)
lists them, `file_names`, `letters` and `lookalikes` know what deceives; `rules` reads etc/rules.toml for `site_rules`;
`engine_settings` and `engine_score` are what the filters that ask other engines share; the rest are the filters.
"""
