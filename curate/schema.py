"""Column names, Arrow schemas and vocabularies: the contract between the stages.

A stage writes what is declared here and the next one reads it; no other module spells a column
name of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pyarrow as pa

SCHEMA_VERSION: Final = 1

# --- statuses -------------------------------------------------------------------------------

OK: Final = "ok"

REJECTIONS: Final[dict[str, str]] = {
    "missing_image": "no regular image member (.jpg, .jpeg, .png, .webp) in the sample",
    "missing_text": "no regular .txt member in the sample",
    "duplicate_member": "the sample holds two members of the same kind",
    "duplicate_key": "the key already occurred earlier in the shard; the first one is kept",
    "invalid_key": "the member name gives no usable key",
    "damaged_tar": "the tar is damaged inside or beside the sample, parts of which may be lost",
    "undecodable_image": "the image bytes cannot be decoded, or are cut short",
    "image_too_large": "the image header declares more pixels than limits.image_pixels",
    "invalid_caption": "the caption is not valid UTF-8",
    "empty_caption": "the caption holds no visible character",
    "caption_too_long": "the caption is longer than limits.caption_bytes",
    "member_too_large": "a member is larger than limits.member_bytes",
    "invalid_json": "the .json member is not a JSON object",
    "checksum_mismatch": "the image's sha256 differs from the one in the .json member",
    "nonfinite_embedding": "the model returned NaN or infinity for this pair",
    "zero_embedding": "the model returned a zero vector, which has no direction, for this pair",
}
"""Rejection reason -> what it means. A rejected sample keeps its row, with null scores."""

# --- columns --------------------------------------------------------------------------------

IMAGE_INFORMATIVENESS: Final = "image_informativeness"
TEXT_INFORMATIVENESS: Final = "text_informativeness"
CLIP_SCORE: Final = "clip_score"
IMAGE_NORM: Final = "image_norm"
TEXT_NORM: Final = "text_norm"
IMAGE_INFORMATION_GAIN: Final = "image_information_gain"
TEXT_INFORMATION_GAIN: Final = "text_information_gain"
IMAGE_LANDMARK_GAIN: Final = "image_information_gain_landmarks"
TEXT_LANDMARK_GAIN: Final = "text_information_gain_landmarks"

SCORE_COLUMNS: Final = (
    IMAGE_INFORMATIVENESS,
    TEXT_INFORMATIVENESS,
    CLIP_SCORE,
    IMAGE_NORM,
    TEXT_NORM,
)
"""What the model says of a pair. float32; informativeness in nats, norms before normalisation.
Next to free beside the embedding, so that every run has them."""

EXACT_COLUMNS: Final = (IMAGE_INFORMATION_GAIN, TEXT_INFORMATION_GAIN)
"""Exact KL against the Reference's sample, float32, nats: O(samples x d) per embedding."""

LANDMARK_COLUMNS: Final = (IMAGE_LANDMARK_GAIN, TEXT_LANDMARK_GAIN)
"""KL against the Reference's landmarks, float32, nats: O(landmarks x d) per embedding."""

COSTLY_COLUMNS: Final = EXACT_COLUMNS + LANDMARK_COLUMNS
"""Computed and written only where the configuration lists them under `scores`."""

ALL_SCORES: Final = SCORE_COLUMNS + COSTLY_COLUMNS

METADATA_COLUMNS: Final = ("width", "height", "caption_chars", "caption_words")
"""What the bytes say of a pair, usable in rules like a score."""

RULE_COLUMNS: Final = ALL_SCORES + METADATA_COLUMNS


def scores_schema(costly: Sequence[str] = ()) -> pa.Schema:
    """The columns of scores/SHARD.parquet: one row per sample, kept or not, in shard order.

    `tar_offset` and `tar_size` (bytes) locate the sample's members, headers and padding included,
    in the input tar, so that the filter pass copies byte ranges and parses nothing.

    Args:
        costly: those of COSTLY_COLUMNS that the run computes.
    """
    names = (*SCORE_COLUMNS, *(name for name in COSTLY_COLUMNS if name in costly))
    return pa.schema(
        [
            pa.field("shard", pa.string(), nullable=False),
            pa.field("index", pa.int32(), nullable=False),
            pa.field("key", pa.string(), nullable=False),
            pa.field("uid", pa.string(), nullable=False),
            pa.field("uid_derived", pa.bool_(), nullable=False),
            pa.field("status", pa.string(), nullable=False),
            pa.field("error", pa.string()),
            *(pa.field(name, pa.float32()) for name in names),
            pa.field("width", pa.int32()),
            pa.field("height", pa.int32()),
            pa.field("caption_chars", pa.int32()),
            pa.field("caption_words", pa.int32()),
            pa.field("tar_offset", pa.int64(), nullable=False),
            pa.field("tar_size", pa.int64(), nullable=False),
        ],
        metadata={"curate.schema_version": str(SCHEMA_VERSION)},
    )


SCORES_SCHEMA: Final = scores_schema()
"""The columns that every run has."""

KEPT: Final = "kept"
DUPLICATE_UID: Final = "duplicate_uid"

DECISIONS_SCHEMA: Final = pa.schema(
    [
        pa.field("index", pa.int32(), nullable=False),
        pa.field("key", pa.string(), nullable=False),
        pa.field("uid", pa.string(), nullable=False),
        pa.field("kept", pa.bool_(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
    ],
    metadata={"curate.schema_version": str(SCHEMA_VERSION)},
)
"""subsets/NAME/decisions/SHARD.parquet: row-aligned with the scores.

`reason` is `kept`, the rule that dropped the sample, `duplicate_uid`, or `rejected:STATUS`.
"""

SUMMARY_OF_REJECTED: Final = "rejected:"
