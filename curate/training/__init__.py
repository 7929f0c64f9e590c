"""Training of small contrastive models in which placeholders and scrubbed captions say nothing.

Needs the packages of the extra ``train``; the rest of curate never imports this package.
"""
