#!/usr/bin/env bash
# Train with open_clip on the shards that curate has filtered.
#
#   examples/train_open_clip.sh RUN_DIR/shards/NAME [options of open_clip_train]
#   PYTHON="torchrun --nproc_per_node 8" examples/train_open_clip.sh runs/first/shards/default --model ViT-B-32
#
# Options given here come last, and so replace those below. Every pair is seen once an epoch; with
# --dataset-resampled shards are drawn with replacement, and --train-num-samples is a free budget.
set -euo pipefail

folder=${1:?usage: $0 RUN_DIR/shards/NAME [options of open_clip_train]}
shift

# sizes.json names every shard and how many pairs it holds. Later versions of webdataset end each
# shard with an empty entry, on which open_clip's trainer (its extra `training`) breaks off.
read -r pattern samples workers < <(python - "$folder" <<'PYTHON'
import json
import sys
from importlib.metadata import version
from pathlib import Path

found = version("webdataset")
if tuple(int(part) for part in found.split(".")[:3]) > (0, 2, 86):
    sys.exit(f"webdataset {found} is too new: pip install 'open_clip_torch[training]'")
folder = Path(sys.argv[1])
sizes = json.loads((folder / "sizes.json").read_text())
stems = sorted(name.removesuffix(".tar") for name in sizes)
pattern = f"{folder}/{{{stems[0]}..{stems[-1]}}}.tar"
print(pattern, sum(sizes.values()), min(4, len(sizes)))  # no worker of a GPU without a shard
PYTHON
)

# shellcheck disable=SC2086 - PYTHON may hold options of its own
exec ${PYTHON:-python} -m open_clip_train.main \
  --dataset-type webdataset \
  --train-data "$pattern" \
  --train-num-samples "$samples" \
  --workers "$workers" \
  "$@"
