"""Named layers, in a model whose classifier is not the end of its vector."""

import pytest
import torch
from torch import nn

from hpcfl.errors import JobError
from hpcfl.flat import Layout
from hpcfl.strategies.layers import inside, spans

# 0: weight 2x3 at 0, bias 2 at 6; 1: weight 2 at 8, bias 2 at 10; 10: weight 1x2 at 12, bias 1 at 14;
# behind the trained ones the statistics of 1: mean at 15, variance at 17
NET = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
NET.add_module("10", nn.Linear(2, 1))
LAYOUT = Layout.of(NET)


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (None, [[12, 14], [14, 15]]),
        (["10"], [[12, 14], [14, 15]]),
        (["1"], [[8, 10], [10, 12], [15, 17], [17, 19]]),
        (["10.bias", "0.bias"], [[6, 8], [14, 15]]),
        (["1", "10", "10.weight"], [[8, 10], [10, 12], [12, 14], [14, 15], [15, 17], [17, 19]]),
    ],
)
def test_a_layer_is_found_by_its_whole_name(names, found):
    assert spans("key", LAYOUT, names).tolist() == found


def test_tied_weights_lie_in_one_place():
    tied = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2), nn.Linear(2, 2, bias=False))
    tied[2].weight = tied[0].weight
    assert spans("key", Layout.of(tied), ["2", "0"]).tolist() == [[0, 4]]


def test_spans_make_a_mask():
    assert inside(torch.tensor([[1, 2], [3, 5]]), 6).tolist() == [False, True, False, True, True, False]
    assert not inside(torch.zeros(0, 2), 3).any()
    assert inside(spans("key", LAYOUT, None), LAYOUT.size).nonzero().flatten().tolist() == [12, 13, 14]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["2"], "key: '2' is no layer of the model; there are 0.weight, 0.bias, 1.weight"),
        (["1", "weight"], "'weight' is no layer"),
        (["0", "1", "10"], "'10' leaves no other layer"),
    ],
)
def test_a_wrong_name_is_an_error(names, message):
    with pytest.raises(JobError, match=message):
        spans("key", LAYOUT, names)


def test_a_model_of_one_layer_has_no_classifier_to_leave_at_home():
    with pytest.raises(JobError, match="key: '0' leaves no other layer"):
        spans("key", Layout.of(nn.Sequential(nn.Linear(2, 2))), None)
    with pytest.raises(JobError, match="key: '' is no layer"):
        spans("key", Layout.of(nn.Linear(2, 2)), None)
