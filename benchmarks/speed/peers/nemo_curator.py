"""NeMo Curator at the pictures of the contenders; it runs in a Python that has NeMo Curator.

`python -m speed.peers.nemo_curator MODELS BATCH PAIRS SHARD...`, the benchmarks on PYTHONPATH. It
embeds pictures alone: its reader drops captions, and no stage of its pipelines embeds them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import ray
from nemo_curator.backends.ray_data import RayDataExecutor
from nemo_curator.pipeline import Pipeline
from nemo_curator.stages.file_partitioning import FilePartitioningStage
from nemo_curator.stages.image.embedders.clip_embedder import ImageEmbeddingStage
from nemo_curator.stages.image.io.convert import ConvertImageBatchToDocumentBatchStage
from nemo_curator.stages.image.io.image_reader import ImageReaderStage
from nemo_curator.stages.text.io.writer import ParquetWriter


class Reader(ImageReaderStage):  # type: ignore[misc] # it is not installed where types are checked
    """Its reader on a machine without a GPU: DALI refuses the device that it asks for."""

    def _create_dali_pipeline(self, tar_paths: list[str]) -> Any:
        from nvidia import dali

        define = dali.pipeline_def
        dali.pipeline_def = lambda **options: define(**options | {"device_id": None})
        try:
            return super()._create_dali_pipeline(tar_paths)
        finally:
            dali.pipeline_def = define


def main() -> None:
    models, batch, pairs, *shards = sys.argv[1:]
    output = Path.cwd() / "embeddings"
    # The default executor asks for 4.5 cores for these stages, and refuses to run on fewer.
    ray.init("local", include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    pipeline = Pipeline(name="pictures")
    for stage in (
        FilePartitioningStage(shards, files_per_partition=1, file_extensions=[".tar"]),
        Reader(dali_batch_size=int(batch), num_threads=1),
        ImageEmbeddingStage(models, model_inference_batch_size=int(batch), remove_image_data=True),
        ConvertImageBatchToDocumentBatchStage(fields=["image_id", "embedding"]),
        ParquetWriter(path=str(output)),
    ):
        pipeline.add_stage(stage)
    pipeline.run(RayDataExecutor())
    found = ds.dataset(output, format="parquet").count_rows()
    if found != int(pairs):
        sys.exit(f"{output} has {found} embeddings of {pairs} pictures: see the log of Ray")


if __name__ == "__main__":
    main()
