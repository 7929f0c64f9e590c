"""Who is who in a pool of metadata: key, uid and status of each row, from its own columns."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.members import derive_uid
from curate.schema import OK, REJECTIONS

UID_PATTERN: Final = "^[0-9a-fA-F]{32}$"

RAW_UID_CHARACTERS: Final = 64
"""How much is kept of a uid that is none."""

_DTYPES: Final = {
    "key": pa.string(),
    "uid": pa.string(),
    "uid_derived": pa.bool_(),
    "status": pa.string(),
}


class Identifier:
    """Identifies the rows of one part, in their order.

    A uid of 32 hexadecimal digits is the pair's own. Another one makes the row `invalid_uid`.
    Where there is none it is derived from part id and key, as samples of shards do; a key that
    occurred before then makes the row a `duplicate_key`, since its uid would be the same.

    Args:
        part: id.
        own_keys: whether keys come from a column of their own, not from the uids.
    """

    def __init__(self, part: str, own_keys: bool) -> None:
        self._part = part
        self._own_keys = own_keys
        self._derived: set[str] = set()

    def __call__(self, uids: pa.Array, keys: pa.Array) -> dict[str, pa.Array]:
        """Identify the next rows.

        Args:
            uids, keys: strings [n]; the same twice without a column of keys.

        Returns:
            `key`, `uid`, `uid_derived`, `status` and `error`, each [n].
        """
        valid = pc.fill_null(pc.match_substring_regex(uids, UID_PATTERN), False)
        if pc.min_max(valid)["min"].as_py() is not False and not keys.null_count:
            return {
                "key": keys,
                "uid": pc.ascii_lower(uids),
                "uid_derived": pa.array(np.zeros(len(uids), dtype=bool)),
                "status": pa.repeat(pa.scalar(OK), len(uids)),
                "error": pa.nulls(len(uids), pa.string()),
            }
        texts = (column.to_pylist() for column in (uids, keys, valid))
        rows = [self._identify(*row) for row in zip(*texts, strict=True)]
        columns = {
            name: pa.array([row[i] for row in rows], kind)
            for i, (name, kind) in enumerate(_DTYPES.items())
        }
        errors = [REJECTIONS.get(status) for _, _, _, status in rows]
        return columns | {"error": pa.array(errors, pa.string())}

    def _identify(
        self, uid: str | None, key: str | None, valid: bool
    ) -> tuple[str, str, bool, str]:
        """Key, uid, whether that was derived, and status of one row."""
        if uid is not None and valid:
            return uid if key is None else key, uid.lower(), False, OK
        if uid is not None:
            told = uid[:RAW_UID_CHARACTERS]
            return key if self._own_keys and key is not None else told, told, False, "invalid_uid"
        if key is None:
            return "", "", False, "invalid_key" if self._own_keys else "invalid_uid"
        derived = derive_uid(self._part, key)
        repeated = derived in self._derived
        self._derived.add(derived)
        return key, derived, True, "duplicate_key" if repeated else OK
