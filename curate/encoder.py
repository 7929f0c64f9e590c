"""open_clip models: load, tokenise, encode. The only module that runs a torch model.

Pixels arrive as uint8 and are normalised on the device: a float32 frame is four times the bytes
to ship and pins four times the memory for the same information.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import torch

from curate.config import ModelConfig
from curate.errors import ModelError
from curate.images import PixelSpec
from curate.numerics.posterior import Link
from curate.numerics.similarity import normalise

Precision = Literal["fp32", "bf16", "fp16"]
Pixels = npt.NDArray[np.uint8]
Tokens = npt.NDArray[np.int32]
Tokenize = Callable[[Sequence[str]], Tokens]

AUTOCAST_DTYPE = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Reduced precision runs under autocast on float32 weights: layer norms and softmax stay exact in
every architecture that open_clip loads, and the fingerprint of the weights stays the same."""

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


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What the other stages need to know of a loaded model.

    Attributes:
        name: as configured.
        fingerprint: sha256 over all tensors by name: the identity of the weights.
        link: how logits become probabilities.
        logit_scale, logit_bias: the trained temperature, already exponentiated, and bias.
        dim: embedding width.
        pixels: geometry of the pixels that the image tower expects.
        context_length: tokens per caption.
        device, precision: what `auto` was resolved to.
    """

    name: str
    fingerprint: str
    link: Link
    logit_scale: float
    logit_bias: float
    dim: int
    pixels: PixelSpec
    context_length: int
    device: str
    precision: Precision

    def describe(self) -> dict[str, Any]:
        """Return a JSON-ready mapping of all fields."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Embeddings:
    """L2-normalised float32 embeddings [n, d] on the model's device, and norms [n] before that."""

    image: torch.Tensor
    text: torch.Tensor
    image_norm: torch.Tensor
    text_norm: torch.Tensor


def embedded_model_dir() -> Path:
    """Folder of the model that ships inside the package."""
    return Path(str(resources.files("curate"))) / "models" / "embedded"


def open_clip_name(name: str) -> str:
    """Translate `embedded` into the `local-dir:` name that open_clip understands."""
    return f"local-dir:{embedded_model_dir()}" if name == "embedded" else name


def resolve_device(device: str) -> str:
    """Turn `auto` into cuda where there is one. Raises ModelError for a cuda that is not there."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise ModelError(
            "model.device=cuda, but torch sees no GPU in this process; use device: auto or cpu"
        )
    return device


def resolve_precision(precision: str, device: str) -> Precision:
    """Turn `auto` into float32 on the CPU, bfloat16 on GPUs that have it, else float16."""
    if precision == "auto":
        if device == "cpu":
            return "fp32"
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    return cast(Precision, precision)


def load_tokenizer(name: str, context_length: int) -> Tokenize:
    """Return the model's own tokenizer as a function from captions to int32 [n, context_length]."""
    import open_clip

    try:
        tokenizer = open_clip.get_tokenizer(open_clip_name(name), context_length=context_length)
    except Exception as exc:  # open_clip raises whatever its back ends raise
        raise ModelError(f"tokenizer of model {name!r} cannot be loaded: {exc}") from exc
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


def _create(config: ModelConfig, device: str) -> Any:
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


def fingerprint(model: torch.nn.Module) -> str:
    """Hash names, shapes and contents of all tensors, in the order of their names (sha256, hex)."""
    state = model.state_dict()
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().to("cpu")
        digest.update(f"{name}:{tuple(tensor.shape)}:{tensor.dtype};".encode())
        # As bytes, since NumPy has no bfloat16.
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


class Encoder:
    """A loaded model with its own preprocessing geometry, ready to encode batches."""

    def __init__(self, config: ModelConfig) -> None:
        device = resolve_device(config.device)
        precision = resolve_precision(config.precision, device)
        self._model = _create(config, device)
        self._device = torch.device(device)
        self._autocast_dtype = AUTOCAST_DTYPE[precision]
        preprocess: dict[str, Any] = dict(self._model.visual.preprocess_cfg)
        self._mean = self._channel_constant(preprocess["mean"])
        self._std = self._channel_constant(preprocess["std"])
        self.info = self._describe(config, preprocess, device, precision)

    def _channel_constant(self, values: Sequence[float]) -> torch.Tensor:
        # In units of uint8 pixels, so that normalising is one subtraction and one division.
        return torch.tensor(values, dtype=torch.float32, device=self._device).view(1, 3, 1, 1) * 255

    def _describe(
        self, config: ModelConfig, preprocess: dict[str, Any], device: str, precision: Precision
    ) -> ModelInfo:
        bias = getattr(self._model, "logit_bias", None)
        link: Link = "softmax" if bias is None else "sigmoid"
        pixels = pixel_spec(preprocess)
        context_length = int(self._model.context_length)
        with torch.inference_mode():
            tokens = torch.zeros(1, context_length, dtype=torch.long, device=self._device)
            dim = int(self._model.encode_text(tokens).shape[-1])
        return ModelInfo(
            name=config.name,
            fingerprint=fingerprint(self._model),
            link=link if config.link == "auto" else config.link,
            logit_scale=float(self._model.logit_scale.detach().float().exp()),
            logit_bias=0.0 if bias is None else float(bias.detach().float()),
            dim=dim,
            pixels=pixels,
            context_length=context_length,
            device=device,
            precision=precision,
        )

    @torch.inference_mode()
    def encode(self, pixels: Pixels, tokens: Tokens) -> Embeddings:
        """Embed a batch of pairs.

        Args:
            pixels: uint8 [n, height, width, 3] of the model's geometry.
            tokens: int32 [n, context_length].

        Returns:
            Embeddings of the n pairs, float32 whatever the model's precision.
        """
        ids = self._to_device(tokens).long()
        frames = (self._to_device(pixels).permute(0, 3, 1, 2) - self._mean) / self._std
        with torch.autocast(
            self._device.type,
            dtype=self._autocast_dtype,
            enabled=self._autocast_dtype is not None,
        ):
            raw_image = self._model.encode_image(frames.contiguous())
            raw_text = self._model.encode_text(ids)
        image, image_norm = normalise(raw_image.float())
        text, text_norm = normalise(raw_text.float())
        return Embeddings(image=image, text=text, image_norm=image_norm, text_norm=text_norm)

    def _to_device(self, array: npt.NDArray[Any]) -> torch.Tensor:
        # Arrays from the object store are read-only views, which torch must not alias: they are
        # copied once, on CUDA into pinned memory, from where the transfer runs beside the compute.
        dtype = torch.uint8 if array.dtype == np.uint8 else torch.int32
        is_cuda = self._device.type == "cuda"
        staged = torch.empty(array.shape, dtype=dtype, pin_memory=is_cuda)
        staged.numpy()[...] = array
        return staged.to(self._device, non_blocking=is_cuda)


def pixel_spec(preprocess: dict[str, Any]) -> PixelSpec:
    """Read an open_clip preprocess configuration into our own geometry. Raises ModelError."""
    size = preprocess["size"]
    height, width = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
    interpolation = preprocess["interpolation"]
    return PixelSpec(
        size=(height, width),
        resize_mode=preprocess["resize_mode"],
        # open_clip's evaluation transform knows bilinear and takes all else for bicubic.
        interpolation="bilinear" if interpolation == "bilinear" else "bicubic",
        fill_color=int(preprocess["fill_color"]),
    )
