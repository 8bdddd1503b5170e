"""What a Flower strategy costs is measured with flwr's own, on the same vectors."""

import pytest

from hpcfl.bench import flower as measuring


def test_both_are_given_the_same_round(monkeypatch):
    pytest.importorskip("flwr")
    monkeypatch.setattr(measuring, "CLIENTS", 2)
    (row,) = measuring.flower(1)
    assert row["measured"] == "a round of 2 clients of 11 M parameters for flwr's FedAvg"
    assert row["hpcfl_s"] > 0 < row["floor_s"]
    assert row["ratio"] == row["hpcfl_s"] / row["floor_s"]
