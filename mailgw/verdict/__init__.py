"""The verdict: evidence and weights in, one decision out, every line of it kept.

Takes: evidence, weights, thresholds. Gives: a Verdict. May not: look at the message or ask anyone. `policy` and
`explain` are pure functions, so that the same evidence can be judged again; `judge` has the checks of a message run,
as interfaces handed in, and hands their evidence to the policy.
"""
