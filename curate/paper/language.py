"""-log p of captions under a causal language model, summed over tokens, in nats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from curate.errors import ModelError

BATCH: Final = 32  # captions; logits are [batch, tokens, vocabulary]
MAX_TOKENS: Final = 512
"""Bounds the logits of one batch; captions of more are cut and counted."""


@dataclass(frozen=True, eq=False)
class Surprisal:
    """What a language model says of captions.

    Attributes:
        nats: float64 [n], - sum of log p(token | the ones before it).
        tokens: int64 [n], tokens that were summed over.
        truncated: captions that were cut.
        start: the token that the first one is conditioned on; "" when there is none, in which
            case the first token of each caption is not in its sum.
    """

    nats: npt.NDArray[np.float64]
    tokens: npt.NDArray[np.int64]
    truncated: int
    start: str


class LanguageModel:
    """A causal language model of transformers with its tokenizer.

    Args:
        name: a folder, or a name of the hub.
        device: where it runs.

    Raises:
        ModelError: it cannot be loaded.
    """

    def __init__(self, name: str, device: str = "cpu") -> None:
        self._tokenizer, self._model = _load(name)
        self._model.to(device)
        self._model.eval()
        self._device = device
        limit = getattr(self._model.config, "max_position_embeddings", None) or MAX_TOKENS
        self._limit = min(int(limit), MAX_TOKENS)

    @torch.inference_mode()
    def surprisal(self, captions: Sequence[str], batch: int = BATCH) -> Surprisal:
        """-log p of each caption.

        Tokens are those of the caption alone; before them stands the start of sequence (or, for
        models that know none, the end of text, as GPT-2 has it), so that the first token counts.
        No end of sequence is added: the sum is of the caption's own tokens.

        Args:
            captions: [n].
            batch: captions taken at once; changes results by float32 rounding only.
        """
        start = self._start()
        encoded = self._tokenizer(
            list(captions),
            add_special_tokens=False,
            verbose=False,  # of long ones: they are cut
        )["input_ids"]
        room = self._limit - len(start)
        rows = [[*start, *ids[:room]] for ids in encoded]
        nats = np.zeros(len(rows))
        # Captions of one length lie together, so that little is padded.
        order = sorted(range(len(rows)), key=lambda at: len(rows[at]))
        for begin in range(0, len(rows), batch):
            chosen = order[begin : begin + batch]
            nats[chosen] = self._sums([rows[at] for at in chosen])
        return Surprisal(
            nats=nats,
            tokens=np.array([max(0, len(ids) - 1) for ids in rows], dtype=np.int64),
            truncated=sum(len(ids) > room for ids in encoded),
            start=self._tokenizer.convert_ids_to_tokens(start[0]) if start else "",
        )

    def _start(self) -> list[int]:
        found = self._tokenizer.bos_token_id
        found = self._tokenizer.eos_token_id if found is None else found
        return [] if found is None else [int(found)]

    def _sums(self, rows: Sequence[Sequence[int]]) -> npt.NDArray[np.float64]:
        width = max(map(len, rows))
        if width < 2:
            return np.zeros(len(rows))
        ids = torch.zeros(len(rows), width, dtype=torch.long)
        mask = torch.zeros(len(rows), width, dtype=torch.long)
        for at, row in enumerate(rows):
            ids[at, : len(row)] = torch.tensor(row, dtype=torch.long)
            mask[at, : len(row)] = 1
        ids, mask = ids.to(self._device), mask.to(self._device)
        # Padding stands behind the caption: causal attention never sees it, and it is not summed.
        logits = self._model(input_ids=ids, attention_mask=mask).logits[:, :-1].float()
        picked = logits.gather(2, ids[:, 1:, None])[..., 0] - torch.logsumexp(logits, dim=2)
        total = (picked.double() * mask[:, 1:]).sum(dim=1)
        return np.asarray(-total.cpu().numpy())


def _load(name: str) -> tuple[Any, Any]:
    # Takes seconds to import.
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    be_quiet: Any = logging.disable_progress_bar  # its loading bar; errors are raised
    be_quiet()
    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
        return tokenizer, AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32)
    except (OSError, ValueError, ImportError, KeyError, RuntimeError) as exc:
        raise ModelError(
            f"paper.language_model={name!r} cannot be loaded: {exc}; give the folder of a causal"
            " language model of transformers, with its tokenizer"
        ) from exc
