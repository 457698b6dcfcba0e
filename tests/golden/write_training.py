"""Write the losses of twenty steps anew: run it when a change of the loss is meant, and say why in the commit."""

import json
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "training")]

import torch
from test_loop import GOLDEN, run_to_end, tiny

from sr3.training.loop import Stepped

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)
with tempfile.TemporaryDirectory() as folder:
    config = tiny("training.steps=20", "training.validate_every=100")
    losses = [event.loss for event in run_to_end(Path(folder) / "run", config) if isinstance(event, Stepped)]
GOLDEN.write_text(json.dumps({"losses": losses}, indent=1) + "\n")
