"""Write the losses of twenty steps anew, when a change of the loss is meant; say why in the commit.

PYTHONPATH=tests:tests/training python tests/golden/write_training.py
"""

import json
import tempfile
from pathlib import Path

import torch
from test_loop import GOLDEN, run_to_end, tiny

from sr3.training.events import Stepped

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)
with tempfile.TemporaryDirectory() as folder:
    config = tiny("training.steps=20", "training.validate_every=100")
    losses = [event.loss for event in run_to_end(Path(folder) / "run", config) if isinstance(event, Stepped)]
GOLDEN.write_text(json.dumps({"losses": losses}, indent=1) + "\n")
