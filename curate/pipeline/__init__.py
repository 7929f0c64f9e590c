"""The only package that imports Ray: a cluster, its actors, and the stages that run on it.

It imports nothing here, so that actors without a model start without torch.
"""
