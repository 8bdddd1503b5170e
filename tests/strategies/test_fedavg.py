"""FedAvg's hooks on three numbers."""

import torch
from cohorts import W, world

from hpcfl.core import Cohort
from hpcfl.strategies import FedAvg
from hpcfl.strategies.fedavg import mixture


def test_the_server_replaces_its_model_by_the_mean():
    state = {"w": W}
    mean = torch.tensor([0.5, 0.0, 4.0])
    assert FedAvg().combine(state, Cohort((), means={"w": mean}))["w"] is mean
    assert state["w"].tolist() == [1.0, -2.0, 3.0]


def test_every_client_is_sent_the_very_same_tensor():
    state = FedAvg().init(world([1]))
    assert FedAvg().send(state, 0)["w"] is FedAvg().send(state, 7)["w"] is W


def test_all_of_the_model_travels():
    assert FedAvg().travels(None, 7) == 1.0


def test_a_mixture_is_the_weighted_sum_of_the_rows():
    vectors = torch.tensor([[1.0, 0.0, 4.0], [0.0, 2.0, -4.0], [7.0, 7.0, 7.0]])
    assert mixture([0.5, 2.0, 0.0], vectors).tolist() == [0.5, 4.0, -6.0]
    assert vectors[0].tolist() == [1.0, 0.0, 4.0]


def test_a_client_trains_what_it_was_sent_and_uploads_the_result():
    assert FedAvg().local(lambda w: w + 1, {"w": W}, None)["w"].tolist() == [2.0, -1.0, 4.0]


def test_the_gradient_is_left_as_it_is():
    grad = torch.tensor([0.25, 0.5])
    FedAvg().correct(grad, W[:2], W[:2], {"w": W}, None)
    assert grad.tolist() == [0.25, 0.5]


def test_loss_and_prediction_are_the_job_s_own():
    class Client:
        @staticmethod
        def loss(logits, labels):
            return (logits - labels).sum()

    assert FedAvg().loss(W, torch.ones(3), Client).item() == -1.0
    assert FedAvg().predict(lambda w: 2 * w, W).tolist() == [2.0, -4.0, 6.0]
