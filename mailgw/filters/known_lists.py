"""The DNS lists that are asked when etc says nothing else, with the codes that their keepers publish.

Sources, each list's own documentation: spamhaus.org (ZEN, DBL), dnswl.org, surbl.org, uribl.com, spameatingmonkey.com.
Most are free of charge for small sites that ask with a resolver of their own, and answer others with an error code.
"""

from __future__ import annotations

from collections.abc import Mapping

from mailgw.filters.dnsbl import DnsList

KNOWN_LISTS: Mapping[str, DnsList] = {
    "spamhaus_zen": DnsList(
        zone="zen.spamhaus.org",
        looks_up=("client",),
        codes=(
            "127.0.0.2 SPAMHAUS_SBL 4.0",
            "127.0.0.3 SPAMHAUS_CSS 3.0",
            "127.0.0.4-7 SPAMHAUS_XBL 4.0",
            "127.0.0.9 SPAMHAUS_DROP 7.0",
            "127.0.0.10-11 SPAMHAUS_PBL 2.0",
        ),
        listed="127.0.0.2",
        unlisted="127.0.0.1",
    ),
    "spamhaus_dbl": DnsList(
        zone="dbl.spamhaus.org",
        looks_up=("links", "from", "reply_to", "reverse_path", "helo", "mail_addresses"),
        codes=(
            "127.0.1.2 DBL_SPAM 5.0",
            "127.0.1.4 DBL_PHISH 7.0",
            "127.0.1.5 DBL_MALWARE 7.0",
            "127.0.1.6 DBL_BOTNET 7.0",
            "127.0.1.102-106 DBL_ABUSED 3.0",
        ),
        errors=("127.255.255.*", "127.0.1.255"),
        listed="dbltest.com",
        unlisted="example.com",
    ),
    "dnswl": DnsList(
        zone="list.dnswl.org",
        looks_up=("client",),
        codes=("127.0.*.1 DNSWL_LOW -0.2", "127.0.*.2 DNSWL_MEDIUM -0.5", "127.0.*.3 DNSWL_HIGH -1.0"),
        errors=("127.0.0.255",),
        listed="127.0.0.2",
        unlisted="127.0.0.1",
    ),
    "surbl": DnsList(
        zone="multi.surbl.org",
        looks_up=("links", "mail_addresses"),
        codes=("&8 SURBL_PHISH 6.0", "&16 SURBL_MALWARE 6.0", "&64 SURBL_ABUSE 4.0", "&128 SURBL_CRACKED 3.0"),
        errors=("127.0.0.1",),
        listed="test.surbl.org",
        unlisted="example.com",
    ),
    "uribl": DnsList(
        zone="multi.uribl.com",
        looks_up=("links", "mail_addresses"),
        codes=("&2 URIBL_BLACK 5.0", "&4 URIBL_GREY 1.0", "&8 URIBL_RED 2.0"),
        errors=("127.0.0.1",),
        listed="test.uribl.com",
        unlisted="example.com",
    ),
    "fresh": DnsList(
        zone="fresh15.spameatingmonkey.net",
        looks_up=("links", "from"),
        codes=("127.0.0.2 FRESH_DOMAIN 2.0",),
        unlisted="example.com",
    ),
}
