"""Check a run directory against itself: files against markers, decisions against scores, counts.

Verification recomputes; it trusts no summary. With `deep` it also reads the input shards. What
cannot be read is a problem like any other: it is listed, and the rest is checked all the same.
"""

from curate.verification.findings import Findings
from curate.verification.run import verify

__all__ = ["Findings", "verify"]
