"""FedMedian, TrimmedMean, Krum, MultiKrum and Bulyan: by hand on few numbers, and as flwr's classes have them."""

import numpy as np
import pytest
import torch
from cohorts import cohort, world

from hpcfl.errors import JobError
from hpcfl.strategies import Bulyan, FedMedian, Krum, MultiKrum, TrimmedMean, gathered

ROWS = [[0.0, 5.0, 1.0], [1.0, 4.0, 1.5], [2.0, 6.0, 1.0], [3.0, 5.5, 0.5], [100.0, -90.0, 70.0]]
"""Five clients' models; the last one lies."""
SIZES = (1, 2, 3, 4, 5)


def combined(strategy, rows, sizes=None):
    sizes = sizes or [1] * len(rows)
    state = strategy.init(world(sizes))
    return strategy.combine(state, cohort([(k, 0, size) for k, size in enumerate(sizes)], w=rows))["w"]


# squared distances of the first four: 0-1 2.25, 0-2 5, 0-3 9.5, 1-2 5.25, 1-3 7.25, 2-3 1.5; their scores, of the two
# nearest, are 7.25, 7.5, 6.5 and 8.75, so that the better two are 2 and 0, of 3 and 1 samples
BY_HAND = {
    "median of five": (FedMedian(), ROWS, [2.0, 5.0, 1.0]),
    "median of four": (FedMedian(), ROWS[:4], [1.5, 5.25, 1.0]),
    "median of one": (FedMedian(), ROWS[:1], ROWS[0]),
    "one trimmed at either end": (TrimmedMean(0.2), ROWS, [2.0, 14.5 / 3, 3.5 / 3]),
    "fewer than one trimmed": (TrimmedMean(0.19), ROWS[:4], [1.5, 5.125, 1.0]),
    "krum": (Krum(1), ROWS, ROWS[2]),
    "krum, nobody lies": (Krum(0), ROWS[:4], ROWS[2]),
    "krum, a tie": (Krum(0), [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], [1.0, 0.0, 0.0]),
    "krum of one": (Krum(0), ROWS[:1], ROWS[0]),
    "multi-krum, the better two": (MultiKrum(1, keep=2), ROWS, [1.5, 5.75, 1.0]),
    "multi-krum, all but one": (MultiKrum(1), ROWS, [2.0, 53 / 10, 0.9]),
    "bulyan, nobody lies": (Bulyan(0), ROWS[:3], [1.0, 5.0, 3.5 / 3]),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_by_hand(name):
    strategy, rows, expected = BY_HAND[name]
    assert combined(strategy, rows, SIZES[: len(rows)]).tolist() == pytest.approx(expected)


def test_bulyan_leaves_out_who_lies_in_one_coordinate_only():
    rows = [[k / 10, 1.0 + k / 10, 0.0] for k in range(6)] + [[0.3, 1.3, 40.0]]
    # Krum's five do not have the seventh; of either coordinate the three numbers about the median stay
    chosen = Bulyan(1).chosen(gathered.distances(torch.tensor(rows)))
    assert len(chosen) == 5 and 6 not in chosen
    middle = sorted(k / 10 for k in chosen)[1:4]
    assert combined(Bulyan(1), rows).tolist() == pytest.approx([np.mean(middle), 1 + np.mean(middle), 0.0])


@pytest.mark.parametrize("strategy", [FedMedian(), TrimmedMean(0.2), Krum(1), MultiKrum(1), Bulyan(1)])
def test_block_by_block_it_is_the_same_and_the_gathered_models_stay(strategy, monkeypatch):
    rows = torch.randn(9, 50, generator=torch.Generator().manual_seed(0))
    before, whole = rows.clone(), combined(strategy, rows.tolist())
    monkeypatch.setattr(gathered, "BLOCK", 9 * 7)
    updates = cohort([(k, 0, 1) for k in range(9)])
    updates.each["w"] = list(rows)  # as the Farm brings them
    torch.testing.assert_close(strategy.combine({"w": rows[0]}, updates)["w"], whole)
    assert torch.equal(rows, before)


def test_distances_of_models_that_hardly_differ():
    base = 1000 * torch.randn(300, generator=torch.Generator().manual_seed(0))
    rows = [base, base + 0.01, base - 0.01]
    exact = [[sum(((a.double() - b.double()) ** 2).tolist()) for b in rows] for a in rows]
    assert gathered.distances(rows).tolist() == [pytest.approx(row, rel=1e-9) for row in exact]


def test_a_first_model_that_lies_far_out_hides_nobody():
    rows = torch.randn(8, 300, generator=torch.Generator().manual_seed(0))
    rows[0] = 1e8
    rows[1] += 3.0
    apart = gathered.distances(list(rows))
    torch.testing.assert_close(apart[1:, 1:], gathered.distances(list(rows[1:])))
    assert gathered.scores(apart, 2).argmin().item() > 1


@pytest.mark.parametrize(
    ("strategy", "needs", "valid"),
    [
        (Krum(2), "2 * 2 + 3 = 7", "0 to 1"),
        (MultiKrum(3), "2 * 3 + 3 = 9", "0 to 1"),
        (Bulyan(1), "4 * 1 + 3 = 7", "0"),
    ],
)
def test_too_few_clients_are_told(strategy, needs, valid):
    with pytest.raises(JobError) as caught:
        combined(strategy, ROWS)
    said = str(caught.value)
    assert said.startswith(f"strategy.byzantine = {strategy.byzantine}: needs {needs} clients in a step")
    assert "5 in all" in said and said.endswith(f"valid for so many: {valid}")
    state = strategy.init(world([1] * 20))
    with pytest.raises(JobError, match="there are 5 in step 4"):
        strategy.combine(state, cohort([(k, 0, 1) for k in range(5)], step=4, w=ROWS))


def test_more_kept_than_there_are():
    with pytest.raises(JobError, match=r"strategy.keep = 6: more than the 5 clients of a step"):
        combined(MultiKrum(1, keep=6), ROWS)


FLWR = {
    "FedMedian": (FedMedian(), {}),
    "FedTrimmedAvg": (TrimmedMean(0.3), {"beta": 0.3}),
    "Krum": (Krum(2), {"num_malicious_clients": 2}),
    "Krum keeps 4": (MultiKrum(2, keep=4), {"num_malicious_clients": 2, "num_clients_to_keep": 4}),
    "Bulyan": (Bulyan(2), {"num_malicious_clients": 2, "to_keep": 0}),
    "Bulyan, nobody lies": (Bulyan(0), {"num_malicious_clients": 0, "to_keep": 0}),
}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", FLWR)
def test_as_flwr_has_it(name, seed):
    theirs = pytest.importorskip("flwr.server.strategy", reason="flwr is not installed (extra: flower)")
    from flwr import common

    ours, params = FLWR[name]
    rng = np.random.default_rng(seed)
    clients = 11 + seed
    rows = rng.standard_normal((clients, 30)).astype(np.float32)
    rows[:2] *= -50
    sizes = rng.integers(1, 100, clients).tolist()

    def result(row, size):
        parameters = common.ndarrays_to_parameters([row[:20].reshape(4, 5), row[20:]])
        return None, common.FitRes(common.Status(common.Code.OK, ""), parameters, size, {})

    strategy = getattr(theirs, name.partition(",")[0].split()[0])(**params)
    parameters, _ = strategy.aggregate_fit(2, [result(*given) for given in zip(rows, sizes)], [])
    expected = np.concatenate([array.ravel() for array in common.parameters_to_ndarrays(parameters)])
    np.testing.assert_allclose(combined(ours, rows.tolist(), sizes).numpy(), expected, rtol=1e-6, atol=1e-6)
