"""The verdict: evidence and weights in, one decision out, every line of it kept.

Takes: evidence, weights, thresholds. Gives: a Verdict. May not: look at the message or ask anyone; it is a pure
function, so that the same evidence can be judged again.
"""
