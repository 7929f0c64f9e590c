"""Sweeps: many rule sets over the scores of one pool, decided together in one scan."""
