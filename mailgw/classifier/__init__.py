"""The classifier: says from what it has learned how likely a message is spam.

Takes: samples: what it reads of a message, as plain bytes. Gives: a probability, and the words behind it. May not: know
filters, verdicts or users; keep anything of a message but a digest and the steps that it made.

It is a logistic regression over hashed features, trained online: each message is scored, then learned from in
proportion to the error. Three views of a message have weights of their own, and their log-odds are averaged:

* `route`: byte 4-grams of the message as it came, the best within one stream of mail;
* `letter`: byte 5-grams of what its author's program wrote: general header fields and readable text;
* `words`: words and word pairs (orthogonal sparse bigrams) of subject and text.

The first learns much of the route that mail takes here; the other two hold across streams and years.

How the pieces lie: `sample` what is read of a message, `features` makes slots of it, `words` names those of words;
`model` the weights, scoring and learning; `calibration` makes a probability of a score; `weights` the file that all
processes map; `ledger` what was learned, and `store` both together: one learner at a time, all or nothing;
`folders` finds what users moved; `training` learns in the gateway, off the reactor.

Weights are counters. Of each slot two are kept: the sum z of the steps of all messages that hold it, and the sum n of
their squares; its weight is z / sqrt(n), AdaGrad's dual averaging (Duchi, Hazan, Singer 2011). Both are whole numbers,
so what a message added can be taken away again to the last bit, in any order. That is what exact means here: after
`forget`, the weights are the sum of what every other message added at its time. They are not those of a history in
which it never was: later messages made their steps while it was known.
"""
