"""The list of figures is whole and unambiguous."""

import pytest

from sr3.metrics.registry import METRICS, find_metric


def test_every_figure_has_a_key_of_its_own_and_says_how_it_is_taken():
    assert len({metric.key for metric in METRICS}) == len(METRICS)
    for metric in METRICS:
        assert metric.protocol
        assert metric.source
        assert metric.tolerance > 0
        assert find_metric(metric.key) is metric


def test_only_inceptions_distance_may_be_called_fid():
    assert not [metric.title for metric in METRICS if "FID" in metric.title or "KID" in metric.title]
    with pytest.raises(KeyError):
        find_metric("fid")
