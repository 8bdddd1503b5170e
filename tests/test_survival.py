"""What a job needs to go on without a rank."""

import pytest

from hpcfl.errors import JobError
from hpcfl.flower.adapter import Adapter
from hpcfl.schema import JobSpec
from hpcfl.strategies import STRATEGIES
from hpcfl.survival import require_way_back


def job(strategy: str, **changes) -> JobSpec:
    server = {"on_rank_failure": "continue"}
    return JobSpec.parse({"rounds": 1, "data": "digits", "strategy": strategy, "server": server, **changes}, "job.toml")


@pytest.mark.parametrize(
    ("strategy", "changes"),
    [("fedavg", {}), ("ditto", {"checkpoint": {"every": 1}}), ("ditto", {"server": {"on_rank_failure": "stop"}})],
)
def test_there_is_a_way_back(strategy, changes):
    require_way_back(job(strategy, **changes), STRATEGIES[strategy])


def test_private_state_needs_a_checkpoint():
    with pytest.raises(JobError, match="on_rank_failure.*strategy = 'ditto' keeps state.*say checkpoint.every = N"):
        require_way_back(job("ditto"), STRATEGIES["ditto"])


def test_a_flower_strategy_whose_clients_keep_something_has_no_way_back():
    adapter = Adapter(None, None)
    adapter.private = True
    with pytest.raises(JobError, match="on_rank_failure.*cannot go back to a checkpoint within a run; valid is .stop."):
        require_way_back(job("fedavg", checkpoint={"every": 1}), adapter)
