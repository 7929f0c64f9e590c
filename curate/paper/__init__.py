"""`curate paper`: the paper's analyses for any model on any shards, as tables and figures.

Only here is matplotlib imported; the extra `paper` installs it.
"""
