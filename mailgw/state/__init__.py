"""The state: what the gateway remembers beside the queue, such as history, known correspondents, what was reported.

Takes: from each step that remembers something, its tables and its work on them. Gives: `database`, one SQLite file
for each kind of state, that all workers and the command line share; work on it runs in threads, what need not be
waited for is gathered. May not: hold accepted mail. A power cut may cost the last seconds, a crash of ours costs what
was noted and not yet written: so nothing rests on it that was promised.
"""
