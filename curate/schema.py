"""Column names, Arrow schemas and vocabularies: the contract between the stages.

A stage writes what is declared here and the next one reads it; no other module spells a column
name of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import pyarrow as pa

SCHEMA_VERSION: Final = 2

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
    "invalid_uid": "the uid of the pool's metadata is not 32 hexadecimal digits",
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

GAIN_COLUMNS: Final = EXACT_COLUMNS + LANDMARK_COLUMNS
"""Both are defined against the mean posterior of the Reference's sample."""

VAS: Final = "vas"
TEXT_VAS: Final = "text_vas"
CROSS_VAS: Final = "cross_vas"
NEG_CLIP_LOSS: Final = "negcliploss"
NORMSIM_2: Final = "normsim_2"
NORMSIM_INF: Final = "normsim_inf"

TARGET_COLUMNS: Final = (VAS, TEXT_VAS, CROSS_VAS, NORMSIM_2, NORMSIM_INF)
"""Against the embeddings of a target set, float32."""

BASELINE_COLUMNS: Final = (*TARGET_COLUMNS, NEG_CLIP_LOSS)
"""Scores of other methods, for comparison, float32."""

CAPTION_ENGLISH: Final = "caption_english"
"""1 where English is the most likely language of the caption, else 0; float32."""

COSTLY_COLUMNS: Final = (*GAIN_COLUMNS, *BASELINE_COLUMNS, CAPTION_ENGLISH)
"""Computed and written only where the configuration lists them under `scores`."""

ALL_SCORES: Final = SCORE_COLUMNS + COSTLY_COLUMNS

METADATA_COLUMNS: Final = (
    "width",
    "height",
    "shorter_side",
    "aspect_ratio",
    "caption_chars",
    "caption_words",
)
"""What is known of a pair without a model, usable in rules like a score. `aspect_ratio` is the
longer side over the shorter one."""

POOL_COLUMNS: Final = ("clip_b32_similarity_score", "clip_l14_similarity_score")
"""Columns of DataComp's metadata that are carried over where the input has them, in its dtype."""

RULE_COLUMNS: Final = ALL_SCORES + METADATA_COLUMNS + POOL_COLUMNS
"""What rules may use, besides what `input.columns` names."""


def scores_schema(
    scores: Collection[str] = SCORE_COLUMNS,
    carried: Sequence[pa.Field] = (),
    *,
    located: bool = True,
) -> pa.Schema:
    """The columns of scores/SHARD.parquet: one row per sample, kept or not, in shard order.

    `tar_offset` and `tar_size` (bytes) locate the sample's members, headers and padding included,
    in the input tar, so that the filter pass copies byte ranges and parses nothing.

    Args:
        scores: those of ALL_SCORES that the run computes; none where there are no embeddings.
        carried: columns of the pool's own metadata, in its dtype.
        located: whether the samples come from tars.
    """
    names = tuple(name for name in ALL_SCORES if name in scores)
    place = [
        pa.field("tar_offset", pa.int64(), nullable=False),
        pa.field("tar_size", pa.int64(), nullable=False),
    ]
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
            pa.field("shorter_side", pa.int32()),
            pa.field("aspect_ratio", pa.float32()),
            pa.field("caption_chars", pa.int32()),
            pa.field("caption_words", pa.int32()),
            *carried,
            *(place if located else []),
        ],
        metadata={"curate.schema_version": str(SCHEMA_VERSION)},
    )


SCORES_SCHEMA: Final = scores_schema()
"""The columns of every run over shards."""

CAPTION: Final = "caption"
"""Of the Reference's sample only: scores hold no captions."""

SAMPLED_CAPTION: Final = "curate.caption"
"""The same on its way there, beside columns that a pool may call as it likes."""

CAPTION_CHARS: Final = 300
"""Characters that are kept of a caption of the sample: what a line or two can show."""

CAPTIONS_SCHEMA: Final = pa.schema(
    [
        pa.field("shard", pa.string(), nullable=False),
        pa.field("key", pa.string(), nullable=False),
        pa.field(CAPTION, pa.string()),
    ],
    metadata={"curate.schema_version": str(SCHEMA_VERSION)},
)
"""reference/sample_captions.parquet: row-aligned with the sample's embeddings and scores."""

REPEATING: Final = frozenset({"shard", "status", "error", "reason"})
"""Columns of few distinct values, written as a dictionary. One of keys, uids or scores would hold
nearly every row: files a sixth larger that take a third longer to write, and to read."""

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
