"""FedAvg+ on three numbers."""

import pytest
from cohorts import W

from hpcfl.strategies import FedAvgPlus


@pytest.mark.parametrize("epochs", [None, 0, 3])
def test_a_client_uses_a_tuned_copy_of_the_global_model(epochs):
    asked = []

    def fit(w, epochs):
        asked.append(epochs)
        return w + 1

    assert FedAvgPlus(tune_epochs=epochs).personal(fit, {"w": W}, None).tolist() == [2.0, -1.0, 4.0]
    assert asked == [epochs]
