"""The history: what was decided about each message, by which evidence, and what became of it.

Takes: the decisions of reception and the outcomes of delivery, as they fall. Gives: `recorder`, which keeps them off
the mail's way, for a time and up to a size; `search`, which finds messages again for `mailgw trace`, `explain` and
`replay`; `kept`, what is known of one. May not: hold up mail, or keep its content.
"""
