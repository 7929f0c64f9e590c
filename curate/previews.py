"""What rules that can be decided while scoring would drop, for the progress line."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from curate.numerics.selection import Node, decide
from curate.schema import OK, RULE_COLUMNS
from curate.score_scan import column_values
from curate.uid_columns import uids_of


def count_dropped(table: pa.Table, node: Node) -> int:
    """How many of the scored rows of a table of scores the rules drop."""
    scored = table.filter(pc.equal(table["status"], OK))
    columns = {
        field.name: column_values(scored[field.name])
        for field in scored.schema
        if field.name in RULE_COLUMNS or pa.types.is_floating(field.type)
    }
    decision = decide(node, columns, uids_of(scored["uid"]))
    return int(len(decision.kept) - decision.kept.sum())
