"""Reports between organisations: on DMARC (RFC 9990) and on TLS (RFC 8460), those that we send and those that others
send us.

Takes: each verdict with what DMARC found, from reception; what came of TLS with next hops, from delivery; the state;
the clock; DNS, to ask whether a destination wants reports; reports of others as files or messages. Gives: `observed`
and `tls_observed`, what was seen of each domain; `daily`, a service that puts a report a day and subject into the
queue, whatever the kind: a `ReportSource` says about whom and writes it, `dmarc_source` and `tls_source` are such;
`reading`, reports of others from octets that nobody vouches for (DMARC, TLS-RPT of RFC 8460, ARF of RFC 5965);
`received`, what they say, added up. May not: hold up mail, tell anybody which users wrote or were
written to, or believe what a stranger reports about us without DMARC's pass.

RFC 9990 is cited by the names of its sections.
"""
