"""Every strategy that flwr exports, of both generations, for two rounds; the table of docs/flower.md is this one."""

import inspect
from importlib import import_module
from pathlib import Path

import pytest
import torch
from rounds_of import make_rounds, parts_of

import hpcfl
from hpcfl.errors import JobError

pytest.importorskip("flwr", reason="flwr is not installed: pip install 'hpcfl[flower]'")

GENERATIONS = ("flwr.server.strategy", "flwr.serverapp.strategy")
OWN = {"client": {"lr": 0.1, "batch_size": 20, "test_size": 0.2}}
DP = {"noise_multiplier": 0.01, "num_sampled_clients": 6}
INNER = '{name = "...FedAvg"}'


def app(name):
    return {"client": {"app": f"flower_clients.{name}"}}


PLAIN = ({}, OWN)
WORK = {
    "Bulyan": [({"to_keep": 0}, OWN), PLAIN],
    "DPFedAvgAdaptive": [({"strategy": INNER, **DP}, app("private")), None],
    "DPFedAvgFixed": [({"strategy": INNER, "clip_norm": 5.0, **DP}, app("private")), None],
    "DifferentialPrivacyClientSideAdaptiveClipping": [
        ({"strategy": INNER, **DP}, app("adaptive")), ({"strategy": INNER, **DP}, app("adaptive_app")),
    ],
    "DifferentialPrivacyClientSideFixedClipping": [
        ({"strategy": INNER, "clipping_norm": 5.0, **DP}, app("clipping")),
        ({"strategy": INNER, "clipping_norm": 5.0, **DP}, app("clipping_app")),
    ],
    "DifferentialPrivacyServerSideAdaptiveClipping": [({"strategy": INNER, **DP}, OWN)] * 2,
    "DifferentialPrivacyServerSideFixedClipping": [({"strategy": INNER, "clipping_norm": 5.0, **DP}, OWN)] * 2,
    "FaultTolerantFedAvg": [PLAIN, None],
    "FedAdagrad": [PLAIN, PLAIN],
    "FedAdam": [PLAIN, PLAIN],
    "FedAvg": [PLAIN, PLAIN],
    "FedAvgM": [({"server_momentum": 0.5}, OWN)] * 2,
    "FedMedian": [PLAIN, PLAIN],
    "FedOpt": [PLAIN, None],
    "FedProx": [({"proximal_mu": 0.1}, OWN)] * 2,
    "FedTrimmedAvg": [PLAIN, PLAIN],
    "FedYogi": [PLAIN, PLAIN],
    "Krum": [({"num_malicious_clients": 1}, OWN), ({"num_malicious_nodes": 1}, OWN)],
    "MultiKrum": [None, ({"num_malicious_nodes": 1}, OWN)],
    "QFedAvg": [({"evaluate_fn": "flower_clients.central"}, OWN), ({"client_learning_rate": 0.1}, OWN)],
}  # fmt: skip
"""Strategy -> what each generation's class was given, and the clients; None where that has no such class."""
NOT = {
    "FedAvgAndroid": "its arrays are raw bytes of its Android clients, not NumPy's",
    "FedXgbBagging": "aggregates trees, not arrays",
    "FedXgbCyclic": "hands trees on, not arrays",
    "FedXgbNnAvg": "aggregates trees beside a model",
}
NEEDS = {
    "Bulyan": "`flwr.server`: `to_keep = 0` for its Krum",
    "DPFedAvgAdaptive": "a client in flwr's `DPFedAvgNumPyClient`",
    "DPFedAvgFixed": "a client in flwr's `DPFedAvgNumPyClient`, which clips",
    "DifferentialPrivacyClientSideAdaptiveClipping": "a ClientApp with `adaptiveclipping_mod`",
    "DifferentialPrivacyClientSideFixedClipping": "a ClientApp with `fixedclipping_mod`",
    "FedProx": "hpcfl's own clients heed `proximal_mu`",
    "QFedAvg": "`flwr.server`: an `evaluate_fn`",
}
CASES = [
    pytest.param(generation, name, *case, id=f"{generation.split('.')[1]}-{name}")
    for name, cases in WORK.items()
    for generation, case in zip(GENERATIONS, cases)
    if case is not None
]


@pytest.mark.parametrize(("generation", "name", "params", "clients"), CASES)
def test_a_strategy_of_flwr_makes_rounds(generation, name, params, clients):
    params = {key: {"name": f"{generation}.FedAvg"} if value == INNER else value for key, value in params.items()}
    found = make_rounds(strategy={"name": f"{generation}.{name}", **params}, **clients)
    assert [len(updates) for _, updates in found.steps] == [6, 6]
    assert torch.isfinite(found.w).all()
    assert not torch.equal(found.w, found.parts.world.initial)
    assert {row["step"] for row in found.notes if row["method"] == "fit"} == {1, 2}


UNCLIPPED = [(generation, name) for name in WORK if name.startswith(("DPFedAvg", "DifferentialPrivacyClient"))
             for generation, case in zip(GENERATIONS, WORK[name]) if case is not None]  # fmt: skip


@pytest.mark.parametrize(("generation", "name"), UNCLIPPED)
def test_noise_without_clipping_is_refused(generation, name):
    with pytest.raises(JobError, match="leaves the clipping to the clients, and hpcfl's own do not clip"):
        parts_of(strategy={"name": f"{generation}.{name}"}, **OWN)


def exported(generation):
    module = import_module(generation)
    classes = {name for name, kind in vars(module).items() if inspect.isclass(kind)}
    return classes - {"Strategy", "Result"}


@pytest.mark.parametrize(("place", "generation"), list(enumerate(GENERATIONS)))
def test_all_that_is_exported_is_in_the_table(place, generation):
    known = {name for name, cases in WORK.items() if cases[place] is not None}
    assert exported(generation) - NOT.keys() == known


def test_the_table_of_the_docs_is_this_one():
    rows = ["| strategy | `flwr.server.strategy` | `flwr.serverapp.strategy` | |", "|---|---|---|---|"]
    for name in sorted({*WORK, *NOT}):
        cells = ["no" if name in NOT else "" if case is None else "yes" for case in WORK.get(name, [None, None])]
        if name in NOT:
            cells = ["no" if name in exported(generation) else "" for generation in GENERATIONS]
        rows.append(f"| {name} | {' | '.join(cells)} | {NOT.get(name) or NEEDS.get(name, '')} |")
    page = (Path(hpcfl.__file__).parent / "docs/flower.md").read_text("utf-8")
    assert "\n".join(rows).replace("|  |", "| |") in page
