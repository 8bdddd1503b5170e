"""Neighbours mix as NumPy has it, on any number of ranks, whoever fails or is away; and no two ranks wait in vain."""

from dataclasses import dataclass
from queue import Queue
from threading import Thread
from typing import ClassVar

import numpy as np
import pytest
import torch
from worlds import federation

from hpcfl.collective import Collective
from hpcfl.core import Step
from hpcfl.errors import JobError
from hpcfl.mixing import Mixer, mixed
from hpcfl.share import Sums
from hpcfl.strategies import DFedAvg, FedAvg
from hpcfl.transport.group import Solo

SIZES = (6, 4, 9, 5, 7)
LIMIT_S = 20.0


class Threads:
    """The verbs that mixing needs, between ranks that are threads. A send lasts until it is received, as the strictest
    of backends has it."""

    def __init__(self, rank, size, boxes, sums, sent):
        self.rank, self.size, self._boxes, self._sums, self.sent = rank, size, boxes, sums, sent

    def send(self, tensor, rank):
        answer = Queue()
        self._boxes[self.rank, rank].put((tensor.clone(), answer))
        answer.get(timeout=LIMIT_S)
        self.sent.append((self.rank, rank, tensor.nbytes))

    def recv(self, tensor, rank):
        given, answer = self._boxes[rank, self.rank].get(timeout=LIMIT_S)
        tensor.copy_(given)
        answer.put(None)

    def reduce(self, tensor):
        self._sums.put(tensor.clone())
        if self.rank == 0:
            tensor.copy_(sum(self._sums.get(timeout=LIMIT_S) for _ in range(self.size)))


def models(clients, size):
    return torch.from_numpy(np.random.default_rng(1).standard_normal((clients, size)).astype(np.float32))


def mix(size, there, strategy):
    """(what each client has, mean, bytes that were counted, messages) after a mixing on so many ranks."""
    boxes, sums, sent = {(a, b): Queue() for a in range(size) for b in range(size)}, Queue(), []
    kept, found, parts = {}, {}, [federation(sizes=SIZES, strategy=strategy) for _ in range(size)]

    def live(rank):
        trainer, world = parts[rank].trainer, parts[rank].world
        transport = Solo() if size == 1 else Threads(rank, size, boxes, sums, sent)
        mixer = Mixer(transport, trainer, world, Sums(True, trainer.device))
        mine = [client for client in range(len(SIZES)) if mixer._lives[client] == rank]
        for client in mine:
            trainer.homes.keep(client, trainer.homes.begin(client))
        own = models(len(SIZES), world.layout.size)
        means = mixer.mix(there, {"w": {client: own[client] for client in mine if client in there}})
        kept.update({client: trainer.homes.latest(client)["w"] for client in mine})
        if rank == 0:
            found.update(mean=means["w"], bytes=mixer.bytes, peers=[mixer.peers(client) for client in range(5)])

    threads = [Thread(target=live, args=(rank,), daemon=True) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_S)
    assert kept.keys() == set(range(len(SIZES))), "two ranks waited for one another"
    return torch.stack([kept[client] for client in range(len(SIZES))]), found, sent


@pytest.mark.parametrize("topology", ["complete", "ring", "erdos_renyi"])
@pytest.mark.parametrize("there", [[0, 1, 2, 3, 4], [0, 1, 3], [2]])
def test_the_same_bits_as_on_one_rank_and_no_circle_of_waits(topology, there):
    strategy = DFedAvg(topology=topology, p=0.4)
    kept, found, _ = mix(1, there, strategy)
    world = federation(sizes=SIZES).world
    weights = strategy.mixing(world, there).numpy()
    own = models(len(SIZES), world.layout.size).numpy().astype(float)
    expected = np.tile(world.initial.numpy(), (len(SIZES), 1)).astype(float)
    expected[there] = weights @ own[there]
    np.testing.assert_allclose(kept, expected, atol=1e-6)
    np.testing.assert_allclose(found["mean"], np.average(expected, axis=0, weights=SIZES), atol=1e-6)
    assert [found["peers"][client] for client in there] == ((weights > 0).sum(0) - 1).tolist()
    for ranks in (2, 3, 4, 5, 7):
        others, again, sent = mix(ranks, there, strategy)
        assert torch.equal(kept, others)
        assert torch.equal(found["mean"], again["mean"])
        assert found["peers"] == again["peers"]
        assert again["bytes"] == 8 * world.layout.size + sum(size for *_, size in sent)
        assert all(a and b for a, b, _ in sent)  # none to or from rank 0
        assert len({(a, b) for a, b, _ in sent}) == len(sent)  # one message each way


def test_rows_do_not_depend_on_those_beside_them():
    weights = torch.tensor([[0.1, 0.2, 0.7], [0.0, 0.3, 0.7], [0.0, 1.0, 0.0]], dtype=torch.float64)
    stack = dict(enumerate(torch.cat([models(3, 30_000), torch.tensor([[-0.0], [-0.0], [0.0]])], 1)))
    together = mixed(weights, stack)
    for row in range(3):
        alone = mixed(weights[row : row + 1], stack)[0]
        assert torch.equal(together[row], alone)
        assert torch.equal(together[row].signbit(), alone.signbit())


@dataclass(frozen=True)
class Trouble(DFedAvg):
    """Client 2 fails from the second round on."""

    topology: str = "ring"

    def local(self, fit, sent, client):
        uploads = super().local(fit, sent, client)
        if client.id == 2 and client.version:
            raise RuntimeError("out of battery")
        return uploads


def rounds(parts, cohorts):
    """The updates of rounds among such clients."""
    strategy, world = parts.trainer.strategy, parts.world
    pool, state = Collective(Solo(), parts.trainer, world, True), parts.trainer.strategy.init(world)
    for version, clients in enumerate(cohorts):
        jobs = tuple(world.job(client, version, 0.0) for client in clients)
        pool.submit(jobs, lambda client, state=state: strategy.send(state, client))
        updates = pool.collect(Step(version + 1, 0.0, jobs, ()))
        state = strategy.combine(state, updates)
        yield updates, state


def test_who_fails_or_is_away_keeps_its_model_and_the_others_mix():
    parts = federation(sizes=SIZES, strategy=Trouble())
    own = {}
    for number, (updates, state) in enumerate(rounds(parts, [range(5), [4, 2, 3, 1]])):
        own[number] = torch.stack([parts.trainer.homes.latest(client)["w"] for client in range(5)])
        np.testing.assert_allclose(state["w"], np.average(own[number], axis=0, weights=SIZES), atol=1e-6)
        assert [update.job.client for update in updates.failures] == ([2] if number else [])
    moved = [not torch.equal(before, after) for before, after in zip(own[0], own[1])]
    assert moved == [False, True, False, True, True]
    # of the ring 0-1-2-3-4 only 3-4 is left: 1 is alone with what it trained, 3 and 4 have the same
    assert torch.equal(own[1][3], own[1][4])
    assert [update.peers for update in updates] == [0, 1, 1]
    assert [update.peers for update in updates.failures] == [0]


def test_clients_train_their_own_models():
    parts = federation(sizes=SIZES, strategy=DFedAvg(topology="ring"))
    (_, _), (_, _) = rounds(parts, [[0], [0]])
    alone = federation(sizes=SIZES)
    first = alone.train(0, 0)
    assert torch.equal(parts.trainer.homes.latest(0)["w"], alone.train(0, 1, first))
    assert torch.equal(parts.trainer.homes.latest(1)["w"], alone.world.initial)


def test_in_rounds_a_client_has_one_state_and_no_past():
    parts = federation(sizes=SIZES, strategy=DFedAvg(topology="ring"))
    parts.trainer.homes.history = True  # as where clients hold samples back
    (_, _), (_, _) = rounds(parts, [range(5), range(5)])
    assert [len(states) for states in parts.trainer.homes._states.values()] == [1] * 5


@dataclass(frozen=True)
class Heavy(FedAvg):
    """Weights that are none."""

    uploads: ClassVar[dict[str, str]] = {"w": "neighbours"}
    private: ClassVar[bool] = True
    weights: tuple = ()

    def mixing(self, world, there):
        return torch.tensor(self.weights, dtype=torch.float64)


@pytest.mark.parametrize("weights", [((0.5, 0.5),), ((0.5, 0.6), (0.5, 0.5)), ((-0.5, 1.5), (0, 1)), (1.0, 0.0)])
def test_weights_that_are_no_averages_are_told(weights):
    with pytest.raises(JobError, match="`mixing` gives weights .* for 2 clients"):
        next(rounds(federation(sizes=(3, 4), strategy=Heavy(weights=weights)), [[0, 1]]))


class Everybody(FedAvg):
    """The default: everybody with everybody."""

    uploads: ClassVar[dict[str, str]] = {"w": "neighbours"}
    private: ClassVar[bool] = True


def test_by_default_all_mix_alike():
    parts = federation(sizes=(3, 4, 5), strategy=Everybody())
    updates, _ = next(rounds(parts, [[0, 1, 2]]))
    own = [parts.trainer.homes.latest(client)["w"] for client in range(3)]
    assert torch.equal(own[0], own[1])
    assert torch.equal(own[0], own[2])
    alone = federation(sizes=(3, 4, 5))
    torch.testing.assert_close(own[0], torch.stack([alone.train(client) for client in range(3)]).mean(0))
    assert [update.peers for update in updates] == [2, 2, 2]
