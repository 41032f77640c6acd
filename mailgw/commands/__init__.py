"""The `mailgw` command line.

Takes: arguments. Gives: text for people, or JSON with --json. May not: be imported by anything else.
"""
