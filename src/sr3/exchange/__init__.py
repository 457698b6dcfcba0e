"""Models from and to other programs: checkpoints of Janspiry's implementation, ONNX."""
