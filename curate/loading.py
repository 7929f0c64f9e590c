"""Loading through open_clip: names, weights and tokenizers, with errors that say what to do."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch

from curate.config import ModelConfig
from curate.errors import ModelError

Tokens = npt.NDArray[np.int32]
Tokenize = Callable[[Sequence[str]], Tokens]

RANDOM_WEIGHTS = "random"
"""`model.pretrained: random` asks for seeded, untrained weights: for benchmarks and tests."""

MAX_CHARS_PER_TOKEN = 32
"""Characters of a caption that are looked at per token of context: no vocabulary in use has longer
tokens that matter, and a 64 kB caption must not cost more than a long one."""

MAX_RUN_CHARS = 512
"""Longest run without a space that is tokenised whole. CLIP's BPE is quadratic in the length of a
word, so that one caption of 20,000 letters would take minutes."""

TOKENIZER_CACHE_WORDS = 200_000
"""CLIP's BPE remembers every word it ever saw; over billions of captions that is a leak."""


def embedded_model_dir() -> Path:
    """Folder of the model that ships inside the package."""
    return Path(str(resources.files("curate"))) / "models" / "embedded"


def open_clip_name(name: str) -> str:
    """Translate `embedded` into the `local-dir:` name that open_clip understands."""
    return f"local-dir:{embedded_model_dir()}" if name == "embedded" else name


@contextmanager
def _quiet_root_logger() -> Any:
    # open_clip reports through the root logger; its warnings about weights are errors of ours.
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)


def create_model(config: ModelConfig, device: str) -> Any:
    """Load the configured model onto a device, in float32, ready for inference.

    Weights are read as tensors only. Raises ModelError, which names what was asked for.
    """
    import open_clip

    name = open_clip_name(config.name)
    if ":" not in name:
        _check_builtin(name, config.pretrained, open_clip)
    is_random = config.pretrained == RANDOM_WEIGHTS
    if is_random:
        torch.manual_seed(0)
    try:
        with _quiet_root_logger():
            model = open_clip.create_model(
                name,
                pretrained=None if is_random else config.pretrained,
                device=device,
                require_pretrained=not is_random,
                weights_only=True,
            )
    except Exception as exc:  # open_clip raises whatever its back ends raise
        raise ModelError(
            f"model.name={config.name!r}, pretrained={config.pretrained!r} cannot be loaded: {exc}."
            " Check the name, that the files are complete, and that this machine can reach the hub"
        ) from exc
    return model.eval()


def _check_builtin(name: str, pretrained: str | None, open_clip: Any) -> None:
    if name not in open_clip.list_models():
        raise ModelError(
            f"model.name={name!r} is not an open_clip model; `open_clip.list_models()` lists them."
            " Use hf-hub:ORG/REPO or local-dir:PATH for models of your own"
        )
    tags = open_clip.list_pretrained_tags_by_model(name)
    if pretrained is None:
        raise ModelError(
            f"model.pretrained is missing for model.name={name!r}: untrained weights say nothing."
            f" Choose one of {tags}, or give the path of a checkpoint file"
        )
    known = pretrained == RANDOM_WEIGHTS or _is_file(pretrained)
    if not known and pretrained.lower().replace("-", "_") not in {
        tag.lower().replace("-", "_") for tag in tags
    }:
        raise ModelError(
            f"model.pretrained={pretrained!r} is neither a file nor a tag of {name!r}; tags: {tags}"
        )


def _is_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except (OSError, ValueError):  # too long for a name, or not one at all
        return False


def import_models() -> None:
    """Import open_clip ahead of its use: it takes three to four core-seconds."""
    importlib.import_module("open_clip")


def load_tokenizer(name: str, context_length: int) -> Tokenize:
    """Return the model's own tokenizer as a function from captions to int32 [n, context_length]."""
    return tokenizing(open_clip_tokenizer(name, context_length), context_length)


def open_clip_tokenizer(name: str, context_length: int) -> Any:
    """Return open_clip's tokenizer of a model. Raises ModelError."""
    import open_clip

    try:
        return open_clip.get_tokenizer(open_clip_name(name), context_length=context_length)
    except Exception as exc:  # open_clip raises whatever its back ends raise
        raise ModelError(f"tokenizer of model {name!r} cannot be loaded: {exc}") from exc


def tokenizing(tokenizer: Any, context_length: int) -> Tokenize:
    """A tokenizer of open_clip as a function from captions to int32 [n, context_length]."""
    cache = getattr(tokenizer, "cache", None)
    special = dict(cache) if isinstance(cache, dict) else {}

    def tokenize(captions: Sequence[str]) -> Tokens:
        bounded = [bound_caption(c, context_length) for c in captions]
        tokens = tokenizer(bounded, context_length=context_length)
        if isinstance(cache, dict) and len(cache) > TOKENIZER_CACHE_WORDS:
            cache.clear()
            cache.update(special)  # without them `<end_of_text>` in a caption would be letters
        return cast(Tokens, tokens.numpy().astype(np.int32))

    return tokenize


def bound_caption(caption: str, context_length: int) -> str:
    """Cut what could not reach the context window, so that time per caption is bounded."""
    limit = context_length * MAX_CHARS_PER_TOKEN
    # Tokenizers collapse white space, so that it must not use up the limit either.
    return " ".join(run[:MAX_RUN_CHARS] for run in caption.split())[:limit]


def to_device(array: npt.NDArray[Any], device: torch.device) -> torch.Tensor:
    """Copy pixels or tokens to a device; returns a tensor of their dtype.

    Arrays from the object store are read-only views, which torch must not alias: they are copied
    once, on CUDA into pinned memory, from where the transfer runs beside the compute.
    """
    is_cuda = device.type == "cuda"
    dtype = torch.uint8 if array.dtype == np.uint8 else torch.int32
    staged = torch.empty(array.shape, dtype=dtype, pin_memory=is_cuda)
    staged.numpy()[...] = array
    return staged.to(device, non_blocking=is_cuda)
