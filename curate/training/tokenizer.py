"""A small byte-level BPE vocabulary, learnt from the training captions.

Of the 49,408 entries of CLIP's vocabulary a small data set uses few, and the table would outweigh
the rest of the model. Bytes make every text encodable; digits stand alone, so that a number or an
opaque identifier becomes a row of symbols that are seen in training.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import (
    Regex,
    Tokenizer,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

PAD, START, END = "<pad>", "<s>", "</s>"
PAD_ID, START_ID, END_ID = 0, 1, 2
LONGEST_TEXT = 512  # characters; more cannot reach the model and would cost time
LONGEST_PIECE = 32  # characters; bounds the merging of texts without spaces


def learn_tokenizer(captions: Iterable[str], vocabulary: int, context_length: int) -> Tokenizer:
    """A lower-casing BPE tokenizer of at most ``vocabulary`` entries (specials and bytes included).

    Texts are padded and truncated to ``context_length`` tokens, start and end included.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence(
        [
            # (?m) lets the dot match newlines in Oniguruma's syntax.
            normalizers.Replace(Regex(rf"(?m)(?<=\A.{{{LONGEST_TEXT}}}).+"), ""),
            normalizers.NFKC(),
            normalizers.Lowercase(),
            normalizers.Strip(),
            normalizers.Prepend(" "),  # the first word is spelt as every other word
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(rf"\s?\S{{1,{LONGEST_PIECE}}}"), behavior="isolated"),
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        special_tokens=[PAD, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(captions, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {END}", special_tokens=[(START, START_ID), (END, END_ID)]
    )
    tokenizer.enable_truncation(context_length)
    tokenizer.enable_padding(length=context_length, pad_id=PAD_ID, pad_token=PAD)
    return tokenizer


def encode(
    tokenizer: Tokenizer, captions: Sequence[str], dropout: float = 0.0
) -> npt.NDArray[np.int64]:
    """Token ids, shape (n, context_length).

    With ``dropout`` merges are skipped at random (BPE dropout): a word then appears in many
    spellings, so that being broken into fragments is no mark of noise by itself.
    """
    tokenizer.model.dropout = dropout if dropout > 0 else None
    try:
        encodings = tokenizer.encode_batch(list(captions))
    finally:
        tokenizer.model.dropout = None
    return np.array([encoding.ids for encoding in encodings], dtype=np.int64)


def save_tokenizer(tokenizer: Tokenizer, folder: Path, context_length: int) -> None:
    """Write the two files that ``transformers.AutoTokenizer`` reads from a folder."""
    tokenizer.save(str(folder / "tokenizer.json"))
    description = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context_length,
        "pad_token": PAD,
        "bos_token": START,
        "eos_token": END,
        "clean_up_tokenization_spaces": False,
    }
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
