"""What a model learns: objects of one protocol that give the loss of each image. `build_objective.py` chooses one."""
