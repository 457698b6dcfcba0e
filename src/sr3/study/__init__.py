"""The human study of the paper: two pictures side by side, one of them from a camera, the other a model's."""
