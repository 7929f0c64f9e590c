"""Numerics of curate: numpy and torch only; no I/O, no Ray, no model."""
