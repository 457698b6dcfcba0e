"""Classification metrics: top-k accuracy, and the inception score (arXiv:1606.03498, section 4)."""

from torch import Tensor

__all__ = ["inception_score", "top_hit"]


def top_hit(logits: Tensor, label: int, k: int) -> Tensor:
    """Return 1 where the class is among the k highest logits (n, classes) and 0 elsewhere: shape (n,), float64.

    Ties count against the label, so that equal logits for all classes are not a hit. ValueError for a label that is
    not a class.
    """
    if not 0 <= label < logits.shape[1]:
        raise ValueError(f"class {label} is none of {logits.shape[1]}")
    as_high = (logits >= logits[:, label : label + 1]).sum(dim=1) - 1
    return (as_high < k).double()


def inception_score(logits: Tensor) -> float:
    """Measure exp E KL(p(class | image) | p(class)) over logits (n, classes), in one part, from 1 to classes."""
    log_odds = logits.double().log_softmax(dim=1)
    marginal = log_odds.exp().mean(dim=0).log()
    divergence = (log_odds.exp() * (log_odds - marginal)).nan_to_num(0.0).sum(dim=1)
    return float(divergence.mean().exp())
