"""Mutated shards and parts of pools, and what reading them must never do."""
