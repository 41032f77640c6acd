"""Configuration: etc/*.toml into frozen values.

Takes: the path of mailgw.toml or filters.toml. Gives: Settings or a FilterFile, or every error at once with file, line,
key and the nearest known name. May not: write to etc/, or open what the configuration names (certificates, databases);
`operation` and `composition` do.
"""
