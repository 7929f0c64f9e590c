"""The sections of a run: model, input, Reference, output, compute, limits."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, field_validator, model_validator

from curate.config.base import Auto, Float, Frozen, Int, PositiveInt

READ_ONLY: Final = ("http://", "https://", "hf://")
"""Where inputs may lie, but no run directory: each file written to the Hub would be a commit."""


class ModelConfig(Frozen):
    """Which contrastive model embeds the pairs, and how."""

    name: str = "embedded"
    """embedded (inside the package), an open_clip name, hf-hub:ORG/REPO, or local-dir:PATH."""
    pretrained: str | None = None
    """Tag of open_clip or path of a checkpoint; only with an open_clip name, and then required."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto takes CUDA where there is one."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """auto is fp32 on the CPU, bf16 on a GPU (fp16 on one that lacks it)."""
    link: Literal["auto", "softmax", "sigmoid"] = "auto"
    """softmax (CLIP) or sigmoid (SigLIP); auto asks the model's configuration."""
    resampling: Literal["torch", "pillow", "scaled"] = "torch"
    """Who resizes pictures: torch, six times as fast, or Pillow, as open_clip's own preprocessing
    does. They differ by a level in some 0.4 % of the values. `scaled` also lets the decoder of
    JPEGs make large pictures smaller: faster, and 1.4 levels off in the mean."""
    compile: bool = False
    """Compile the image tower by torch.compile: minutes of start, and other rounding."""

    @model_validator(mode="after")
    def _weights_are_named_once(self) -> ModelConfig:
        carries_weights = self.name == "embedded" or self.name.startswith(("hf-hub:", "local-dir:"))
        if carries_weights and self.pretrained is not None:
            raise ValueError(
                f"model.pretrained={self.pretrained!r} has no effect with name={self.name!r}, which"
                " carries its own weights; remove it"
            )
        return self


Places = str | tuple[str, ...]
"""A path or URL with globs or braces, @FILE, or a list of these."""


class EmbeddingKeys(Frozen):
    """Names of the arrays of an npz."""

    image: Annotated[str, Field(min_length=1)]
    """Array of the image embeddings."""
    text: Annotated[str, Field(min_length=1)]
    """Array of the text embeddings."""


class TargetKeys(Frozen):
    """Names of the arrays of a target set; its texts are asked for by few scores."""

    image: Annotated[str, Field(min_length=1)]
    """Array of the image embeddings."""
    text: Annotated[str, Field(min_length=1)] | None = None
    """Array of the text embeddings."""


class InputConfig(Frozen):
    """Where the pairs are: in shards of images, or in metadata with embeddings, or without.

    With `embeddings` or `metadata` the pool is scored without its images; `shards` then names
    where those are, once they are downloaded, for `curate filter`.
    """

    shards: Places | None = None
    """Shards of images: a glob, braces such as {00000..00099}.tar, @FILE, or a list; any fsspec
    URL."""
    embeddings: Places | None = None
    """Precomputed embeddings with their metadata, in place of images: a folder, glob or list."""
    embedding_keys: EmbeddingKeys | None = None
    """Which arrays of an npz, e.g. {image: l14_img, text: l14_txt}; null is the layout's."""
    metadata: Places | None = None
    """Metadata alone (*.parquet): only rules on metadata, no model and no embeddings."""
    columns: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Further numeric columns of the metadata that are carried over, for use in rules."""
    verify_sha256: bool = False
    """Reject images whose sha256 differs from the json's. Off by default, since img2dataset stores
    the hash of the original download, which resizing changes."""

    @model_validator(mode="after")
    def _one_pool(self) -> InputConfig:
        if self.shards is None and self.embeddings is None and self.metadata is None:
            raise ValueError("name the pool: give one of shards, embeddings and metadata")
        if self.embeddings is not None and self.metadata is not None:
            raise ValueError("embeddings come with their metadata; remove input.metadata")
        if self.embedding_keys is not None and self.embeddings is None:
            raise ValueError("embedding_keys has no effect without input.embeddings; remove it")
        if self.columns and self.over_images:
            raise ValueError("columns are of metadata; give input.embeddings or input.metadata")
        return self

    @property
    def over_images(self) -> bool:
        """Whether the pool is scored from its images."""
        return self.embeddings is None and self.metadata is None


class Temperature(Frozen):
    """A logit scale with a bias, where a number alone is a scale with bias 0."""

    scale: Annotated[Float, Field(gt=0.0, allow_inf_nan=False)]
    """Factor of the inner products."""
    bias: Annotated[Float, Field(allow_inf_nan=False)] = 0.0
    """Added to them; matters for a sigmoid."""


class ReferenceConfig(Frozen):
    """The sample that means and covariances are fitted on."""

    path: str | None = None
    """Folder of an existing Reference (reference/ of another run); null fits one."""
    shards: Places | None = None
    """Where to sample from; null is the input."""
    samples: Annotated[Int, Field(ge=2)] = 10_000
    """Pairs that means and covariances are fitted on."""
    prior: Literal["model", "uniform"] = "model"
    """Weights of the sample: estimated from the model (the paper), or uniform."""
    covariance: Literal["corrected", "paper"] = "corrected"
    """corrected weighs by the slope of the link, which matters for a sigmoid; paper as printed."""
    temperature: (
        Literal["model"] | Annotated[Float, Field(gt=0.0, allow_inf_nan=False)] | Temperature
    ) = 1.0
    """1 takes plain inner products (the paper); model its trained scale and bias; or a number, or
    {scale: 10, bias: -10}."""
    trace_share: Annotated[Float, Field(gt=0.0, le=1.0)] = 1.0
    """Share of the covariance's trace that the informativeness keeps. Less is cheaper; what it
    costs in error is measured on the sample and kept in reference.json."""
    landmarks: Auto | Annotated[Int, Field(ge=2)] = "auto"
    """Clusters per modality, fitted when a landmark score is listed; auto is 4 times the width."""
    seed: Annotated[Int, Field(ge=0)] = 0
    """Of the sample and of the clusters."""


class BaselinesConfig(Frozen):
    """What the scores of other methods, where listed under `scores`, compare with."""

    target: Annotated[str, Field(min_length=1)] | None = None
    """Embeddings of a target set: .npy, or .npz with `target_keys`. Null is the Reference's
    sample."""
    target_keys: TargetKeys | None = None
    """Which arrays of an npz, e.g. {image: img, text: txt}."""
    batches: PositiveInt = 2
    """Seeded batches of the Reference's sample that negCLIPLoss is averaged over. Few, so that each
    is large: the method's own batches have 32,768 pairs."""
    temperature: Annotated[Float, Field(gt=0.0, allow_inf_nan=False)] = 0.01
    """Of negCLIPLoss; the inverse of a logit scale. 0.01 is that of OpenAI's models."""
    seed: Annotated[Int, Field(ge=0)] = 0
    """Of the batches."""

    @model_validator(mode="after")
    def _keys_are_of_something(self) -> BaselinesConfig:
        if self.target_keys is not None and self.target is None:
            raise ValueError("target_keys has no effect without baselines.target; remove it")
        return self


class OutputConfig(Frozen):
    """Where results go."""

    run_dir: Annotated[str, Field(min_length=1)]
    """Folder or URL of the run."""
    subset: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)] = (
        "default"
    )
    """Name of the subset that select and filter work on; one run can hold many."""
    samples_per_shard: PositiveInt | None = None
    """Repack to shards of this size; null is one output shard per input shard."""
    save_embeddings: bool = False
    """Also write embeddings/SHARD.npz (float16, row-aligned with the scores)."""
    checksums: Literal["none", "sha256"] = "none"
    """Of the tars of filtered shards; everything else is hashed always. Hashing a tar takes longer
    than copying it, and `curate verify --deep` compares it with its inputs in any case."""

    @field_validator("run_dir")
    @classmethod
    def _run_dir_can_be_written(cls, value: str) -> str:
        if value.lower().startswith(READ_ONLY):
            raise ValueError("is for reading; give a folder, or the URL of a store such as s3://")
        return value


class ComputeConfig(Frozen):
    """How much of the machine or cluster is used."""

    embedders: Auto | PositiveInt = "auto"
    """Actors that hold the model; auto is one per GPU, or one per CPU without GPUs."""
    embedders_per_gpu: Auto | Annotated[Int, Field(gt=0, le=64)] = "auto"
    """Embedders that share a GPU, which pays for small models; auto is one."""
    workers: Auto | PositiveInt = "auto"
    """Actors that read and decode; auto takes the CPUs that are left."""
    batch_size: Auto | PositiveInt = "auto"
    """Pairs per batch; auto measures the memory of a GPU, and is 32 on a CPU."""
    ray_address: str = "auto"
    """auto is the cluster this process is part of, else a Ray on this machine; or an address."""


class LimitsConfig(Frozen):
    """What a single sample may ask of us, and what is tolerated."""

    image_pixels: PositiveInt = 50_000_000
    """Larger pictures are rejected from their header, before decoding."""
    caption_bytes: PositiveInt = 65_536
    """Longer captions are rejected."""
    member_bytes: PositiveInt = 134_217_728
    """Larger members are skipped without being read into memory."""
    tolerate_unreadable_shards: bool = False
    """Exit with 0 instead of 3 when a shard could not be read at all."""
