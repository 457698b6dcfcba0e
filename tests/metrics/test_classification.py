"""Right answers and the inception score, beside torchmetrics and scipy."""

import numpy as np
import pytest
import torch
from scipy import stats

from sr3.metrics.classification import inception_score, top_hit


@pytest.mark.slow
@pytest.mark.parametrize("k", [1, 5])
def test_the_share_of_hits_is_torchmetrics_accuracy(k):
    from torchmetrics.functional.classification import multiclass_accuracy  # slow to import

    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(40, 12, generator=generator), torch.randint(0, 12, (40,), generator=generator)
    ours = torch.cat([top_hit(row[None], int(label), k) for row, label in zip(logits, labels, strict=True)])
    expected = multiclass_accuracy(logits, labels, num_classes=12, average="micro", top_k=k)
    assert float(ours.mean()) == pytest.approx(float(expected))
    assert 0 < float(expected) < 1


def test_logits_that_are_all_alike_are_not_right():
    assert top_hit(torch.zeros(2, 10), 3, 5).tolist() == [0, 0]


def test_a_label_that_is_no_class_is_refused():
    with pytest.raises(ValueError, match="class 10 is none of 10"):
        top_hit(torch.zeros(1, 10), 10, 1)


def test_the_inception_score_is_the_exponent_of_scipys_entropies():
    logits = torch.randn(30, 6, generator=torch.Generator().manual_seed(0)) * 2
    odds = np.exp(logits.double().numpy())
    odds /= odds.sum(axis=1, keepdims=True)
    expected = np.exp(np.mean([stats.entropy(row, odds.mean(axis=0)) for row in odds]))
    assert inception_score(logits) == pytest.approx(expected)


def test_the_score_is_1_of_one_answer_and_the_number_of_classes_of_sure_and_even_ones():
    assert inception_score(torch.randn(1, 5).expand(4, -1)) == pytest.approx(1)
    assert inception_score(torch.eye(5) * 1000) == pytest.approx(5)
