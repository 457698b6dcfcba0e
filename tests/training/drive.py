"""Train the tiny preset and write the loss of every step: started by tests, alone or by torchrun.

python drive.py OUT PICTURES|SHARDS SETTING...
"""

import json
import os
import sys
from pathlib import Path

import torch

from pictures import Pictures, smooth
from sr3.config import apply_settings
from sr3.data.opening import open_supply
from sr3.presets import preset
from sr3.training.events import Stepped
from sr3.training.loop import train
from sr3.training.run_dir import RunDir, open_run

torch.set_num_threads(1)
out = Path(sys.argv[1])
data, settings = sys.argv[2], sys.argv[3:]
config = apply_settings(preset("tiny-x4"), settings)
pictures = Pictures(*(smooth(64, 64, seed=k) for k in range(6)))
supply = pictures if data == "pictures" else open_supply(data, stream=True)
first = os.environ.get("RANK", "0") == "0"
run = open_run(out / "run", config) if first else RunDir((out / "run").resolve())
losses = [event.loss for event in train(config, supply, run, device=torch.device("cpu")) if isinstance(event, Stepped)]
if first:
    (out / "losses.json").write_text(json.dumps(losses))
