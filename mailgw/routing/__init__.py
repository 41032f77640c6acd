"""Routing: who is ours, who may relay, and where each recipient's copy goes.

Takes: forward-paths and a verdict. Gives: destinations. May not: deliver, ask who is connected, or judge.
"""
