"""Training objectives: objects of one protocol that compute the loss per image. `build_objective.py` chooses one."""
