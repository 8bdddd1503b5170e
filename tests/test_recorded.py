"""Programs of many clients over memory that stands still: the sequential path's models and losses but for rounding."""

import pytest
import torch
from test_batched import CASES, TOLERANCE, made

from hpcfl.batched import Batched
from hpcfl.captured import Eager
from hpcfl.recorded import RecordedBatched, recordable
from hpcfl.sgd import SGD


def momentum(parameters, lr):
    return SGD(parameters, lr=lr, momentum=0.9, nesterov=True, weight_decay=0.1)


RECORDED = {
    "plain": {"optimizer": SGD},
    "momentum": {"optimizer": momentum},
    "adam": {},
    "convolutions": {"optimizer": SGD},
    "label smoothing": {"optimizer": SGD},
    "fednova": {"optimizer": SGD},
    "two fits": {"optimizer": SGD},
    "whole batches": {"optimizer": SGD},
}


@pytest.fixture(autouse=True)
def optimizers(monkeypatch):
    """The cases of the batched path, with optimizers that can stand still."""
    for case, changes in RECORDED.items():
        monkeypatch.setitem(CASES, case, {**CASES[case], **changes})


@pytest.mark.parametrize("graph", [Eager, None], ids=["recorded", "call by call"])
@pytest.mark.parametrize("case", RECORDED)
def test_it_does_what_the_sequential_path_does_job_after_job(case, graph):
    one, together = made(case), made(case)
    batched = RecordedBatched(together.trainer, 4)
    assert recordable(batched)
    assert batched.record(graph, together.world.initial) is None
    for version, clients in ((0, (0, 1, 2, 3)), (1, (5, 2)), (2, (1, 4, 0, 3))):
        sent = {"w": one.world.initial * (1 + version)}
        jobs = [one.jobs(version)[client] for client in clients]
        found = batched.train(jobs, [sent] * len(jobs))
        for row, job in enumerate(jobs):
            uploads, expected = one.trainer.train(job, sent)
            assert (found.steps[row], found.examples[row]) == (expected.steps, expected.examples)
            assert found.losses[row].item() == pytest.approx(expected.loss.item(), rel=1e-5)
            for name, value in uploads.items():
                assert (found.uploads[name][row] - value).abs().max() <= TOLERANCE, name


@pytest.mark.parametrize("case", ["fedprox", "fedlc", "another loss", "class weights", "rmsprop"])
def test_what_looks_at_its_clients_is_not_recorded(case):
    assert not recordable(Batched(made(case).trainer, 4))


class Broken(Eager):
    def capture(self, compute):
        compute()
        raise RuntimeError("operation not permitted when stream is capturing")


def test_a_program_that_cannot_be_captured_says_why_and_is_made_call_by_call():
    plain, broken = (RecordedBatched(made("plain").trainer, 4) for _ in range(2))
    assert broken.record(Broken, made("plain").world.initial) == (
        "RuntimeError: operation not permitted when stream is capturing"
    )
    parts = made("plain")
    given = parts.jobs()[:4], [{"w": parts.world.initial}] * 4
    assert torch.equal(broken.train(*given).uploads["w"], plain.train(*given).uploads["w"])
