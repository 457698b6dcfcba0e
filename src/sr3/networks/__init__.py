"""Networks: tensors in, tensors out; what their output means is the denoiser's business."""
