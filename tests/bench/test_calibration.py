"""What is recommended, from given times."""

import pytest

from hpcfl.bench.calibration import recommendation, settings
from hpcfl.jobfile import packaged
from hpcfl.schema import JobSpec


@pytest.mark.parametrize(
    "sequential, batched, sentence",
    [
        (2.0, 1.0, 'Set execution = "batched": here a round takes 2.00 times as long with "sequential".'),
        (1.0, 1.5, 'Set execution = "sequential": here a round takes 1.50 times as long with "batched".'),
        (1.0, 1.01, 'Leave execution = "auto": here both take the same time.'),
        (1.0, None, 'This job trains one way only: execution = "sequential".'),
    ],
)
def test_the_advice_is_one_sentence(sequential, batched, sentence):
    rows = [{"execution": "sequential", "hpcfl_s": sequential}, {"execution": "batched", "hpcfl_s": batched}]
    assert recommendation(rows, "auto") == sentence


def test_every_setting_but_auto_is_tried():
    job = packaged("w2")
    ways = settings(job)
    assert "sequential" in ways
    assert "auto" not in ways
    if "execution" in JobSpec.model_fields:
        assert {name: way.spec.execution for name, way in ways.items()} == {name: name for name in ways}
