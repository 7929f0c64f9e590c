"""Pools that come without their images: metadata with precomputed embeddings, or alone."""
