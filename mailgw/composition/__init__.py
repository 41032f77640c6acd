"""The composition: from etc/ to a running gateway.

Takes: the path of mailgw.toml, the reactor, entropy; from `tap.py`, and from the commands that need a part of it.

Gives: `etc.load`, everything that stands in etc/, checked; `judging`, who judges; `outbound`, the queue and what
empties it; `inbound`, the ports and what is behind them; `reporting`, what goes to other organisations about
their mail; `gateway.build`, the service of all that.

May not: do anything but put parts together. What a part does stands in its package.
"""
