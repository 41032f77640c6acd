"""DKIM signatures on what goes out: whose domain signs, its keys, and how they come, are published and go."""
