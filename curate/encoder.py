"""open_clip models: load, tokenise, encode. The only module that runs a torch model.

Pixels arrive as uint8 and are normalised on the device: a float32 frame is four times the bytes
to ship and pins four times the memory for the same information.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import torch

from curate.compiling import WARM_UP_PAIRS, compiled, warm_up
from curate.config import ModelConfig
from curate.errors import ModelError
from curate.last_block import use_class_token
from curate.loading import Tokens, create_model, open_clip_tokenizer, to_device, tokenizing
from curate.numerics.posterior import Link
from curate.numerics.similarity import normalise
from curate.onednn import use_onednn
from curate.pixels import PixelSpec, Resampling
from curate.shared_model import FrozenModel, freeze, thaw
from curate.shared_tokenizer import freeze_tokenizer
from curate.text_tower import Cut, TextTower, find_cut

Precision = Literal["fp32", "bf16", "fp16"]
Pixels = npt.NDArray[np.uint8]

AUTOCAST_DTYPE = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Reduced precision runs under autocast on float32 weights: layer norms and softmax stay exact in
every architecture that open_clip loads, and the fingerprint of the weights stays the same."""

CPU_CONVOLUTION_CHUNK = 4
"""Pictures that a convolutional tower takes at once on a CPU, so that its activations stay in the
cache: EfficientNet-Lite0 took 24 ms a picture in fours and 40 to 47 ms in batches of 32 (83 ms
with channels first), one thread each. A vision transformer loses 10 % this way, and is not cut."""

CPU_STEP = 8
"""What batches of transformers are rounded up to on a CPU, by a picture once more: oneDNN makes a
kernel for every shape, of 2 to 6 ms and up to 2 MB, and shards end in batches of any size."""

PATCH_EMBEDDING_CONVOLUTIONS = 4
"""Convolutions up to which a tower counts as a transformer: stems that cut patches have few."""


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


@dataclass(frozen=True, slots=True)
class SharedModel:
    """What one encoder hands to others, so that weights are read and hashed once.

    Attributes:
        frozen: skeleton and tensors.
        fingerprint: of the weights.
        precision: that all compute in, so that every row is made alike on a mixed cluster.
        cut: how captions may be cut.
        tokenizer: as `Encoder.tokenizer` gives it.
    """

    frozen: FrozenModel
    fingerprint: str
    precision: Precision
    cut: Cut | None
    tokenizer: bytes | None


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


def _image_chunk(tower: torch.nn.Module, device: str) -> int:
    """Pictures per pass of the image tower; 0 for the whole batch."""
    convolutions = sum(isinstance(module, torch.nn.Conv2d) for module in tower.modules())
    is_convolutional = convolutions > PATCH_EMBEDDING_CONVOLUTIONS
    return CPU_CONVOLUTION_CHUNK if device == "cpu" and is_convolutional else 0


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

    def __init__(self, config: ModelConfig, shared: SharedModel | None = None) -> None:
        """Load the model.

        Args:
            config: which, and on what device.
            shared: the same model, loaded by another process; without it, it is read from files.

        Raises:
            ModelError: it cannot be loaded.
        """
        device = resolve_device(config.device)
        self._device = torch.device(device)
        if shared is None:
            self._model: Any = create_model(config, device).requires_grad_(False)
            precision = resolve_precision(config.precision, device)
            self._fingerprint = fingerprint(self._model)
            if device == "cpu" and precision == "fp32" and not config.compile:
                use_onednn(self._model)
            use_class_token(self._model)
            tokenizer = open_clip_tokenizer(config.name, int(self._model.context_length))
            self._tokenizer = freeze_tokenizer(tokenizer)
            self._cut = find_cut(self._model, tokenizing(tokenizer, self._model.context_length))
        else:
            # Kernels are chosen by these and by the model's layers, and the embedders of a run must
            # compute alike.
            self._model = thaw(shared.frozen, device).requires_grad_(False)
            precision, self._cut = shared.precision, shared.cut
            self._tokenizer = shared.tokenizer
            self._fingerprint = shared.fingerprint
        self._text = TextTower(self._model, self._cut)
        self._autocast_dtype = AUTOCAST_DTYPE[precision]
        self._model.to(memory_format=torch.channels_last)
        self._image_chunk = _image_chunk(self._model.visual, device)
        preprocess: dict[str, Any] = dict(self._model.visual.preprocess_cfg)
        self._mean = self._row_constant(preprocess, "mean")
        self._std = self._row_constant(preprocess, "std")
        self.info = self._describe(config, preprocess, device, precision)
        self._encode_image = self._model.encode_image
        if config.compile:
            self._encode_image = compiled(self._encode_image)
            self._warm_up()

    def _warm_up(self) -> None:
        height, width = self.info.pixels.size
        pixels = np.zeros((WARM_UP_PAIRS, height, width, 3), dtype=np.uint8)
        tokens = np.zeros((WARM_UP_PAIRS, self.info.context_length), dtype=np.int32)
        warm_up(lambda: self.encode(pixels, tokens), self.info.name)

    def _row_constant(self, preprocess: dict[str, Any], name: str) -> torch.Tensor:
        # In units of uint8 pixels, so that normalising is one subtraction and one division; once
        # for each pixel of a row, since CPUs take a seventh of the time over long rows.
        _, width = pixel_spec(preprocess, "torch").size
        values = torch.tensor(preprocess[name], dtype=torch.float32, device=self._device) * 255
        return values.repeat(width)

    def _frames(self, pixels: Pixels) -> torch.Tensor:
        """Normalised float32 [n, 3, h, w] on the device, channels last in memory."""
        count, height, width, channels = pixels.shape
        rows = to_device(pixels, self._device).view(count, height, width * channels)
        frames = rows.float().sub_(self._mean).div_(self._std)
        return frames.view(count, height, width, channels).permute(0, 3, 1, 2)

    def _raw_image(self, frames: torch.Tensor) -> torch.Tensor:
        count = len(frames)
        if self._image_chunk:
            parts = [self._encode_image(chunk) for chunk in torch.split(frames, self._image_chunk)]
            return torch.cat(parts)
        more = -count % CPU_STEP
        if more and count > CPU_STEP and self._device.type == "cpu":
            frames = torch.cat([frames, frames[-1:].expand(more, -1, -1, -1)])
        encoded: torch.Tensor = self._encode_image(frames)
        return encoded[:count]

    def _describe(
        self, config: ModelConfig, preprocess: dict[str, Any], device: str, precision: Precision
    ) -> ModelInfo:
        bias = getattr(self._model, "logit_bias", None)
        link: Link = "softmax" if bias is None else "sigmoid"
        pixels = pixel_spec(preprocess, config.resampling)
        context_length = int(self._model.context_length)
        with torch.inference_mode():
            tokens = torch.zeros(1, context_length, dtype=torch.long, device=self._device)
            dim = int(self._model.encode_text(tokens).shape[-1])
        return ModelInfo(
            name=config.name,
            fingerprint=self._fingerprint,
            link=link if config.link == "auto" else config.link,
            logit_scale=float(self._model.logit_scale.detach().float().exp()),
            logit_bias=0.0 if bias is None else float(bias.detach().float()),
            dim=dim,
            pixels=pixels,
            context_length=context_length,
            device=device,
            precision=precision,
        )

    def share(self) -> SharedModel:
        """Take a copy of the model that other processes can be given."""
        return SharedModel(
            freeze(self._model), self._fingerprint, self.info.precision, self._cut, self._tokenizer
        )

    def tokenizer(self) -> bytes | None:
        """The model's tokenizer, for `thaw_tokenizer`; None if it must be loaded by its name."""
        return self._tokenizer

    @torch.inference_mode()
    def encode(self, pixels: Pixels, tokens: Tokens) -> Embeddings:
        """Embed a batch of pairs.

        Args:
            pixels: uint8 [n, height, width, 3] of the model's geometry.
            tokens: int32 [n, context_length].

        Returns:
            Embeddings of the n pairs, float32 whatever the model's precision.
        """
        frames = self._frames(pixels)
        with torch.autocast(
            self._device.type,
            dtype=self._autocast_dtype,
            enabled=self._autocast_dtype is not None,
        ):
            raw_image = self._raw_image(frames)
            raw_text = self._text(tokens)
        image, image_norm = normalise(raw_image.float())
        text, text_norm = normalise(raw_text.float())
        return Embeddings(image=image, text=text, image_norm=image_norm, text_norm=text_norm)


def pixel_spec(preprocess: dict[str, Any], resampling: Resampling) -> PixelSpec:
    """Read an open_clip preprocess configuration into our own geometry. Raises ConfigError."""
    size = preprocess["size"]
    height, width = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
    interpolation = preprocess["interpolation"]
    return PixelSpec(
        size=(height, width),
        resize_mode=preprocess["resize_mode"],
        # open_clip's evaluation transform knows bilinear and takes all else for bicubic.
        interpolation="bilinear" if interpolation == "bilinear" else "bicubic",
        fill_color=int(preprocess["fill_color"]),
        resampling=resampling,
    )
