"""The vocabulary: addresses, envelopes, messages, replies, evidence, verdicts.

Takes: nothing. Gives: frozen values in the words of RFC 5321, 5322, 5598 and 8601, and the one object that
grows (`Transaction`). May not: import anything else of mailgw, import twisted, or touch the network or the disk
(but for `FileContent`, which opens the file that it names).
"""
