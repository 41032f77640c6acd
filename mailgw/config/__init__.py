"""Configuration: etc/*.toml into frozen values.

Takes: a folder. Gives: a Config, or every error at once with file, key and the nearest known name. May not:
write to etc/, or open what the configuration names (certificates, databases); `operation` and `tap` do.
"""
