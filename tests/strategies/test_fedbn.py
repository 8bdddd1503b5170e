"""FedBN on three numbers, the middle one of which normalises."""

from types import SimpleNamespace

import torch

from hpcfl.flat import Entry, Layout
from hpcfl.strategies import FedBN

LAYOUT = Layout(
    (Entry("a", (1,), 0, "parameter"), Entry("n.weight", (1,), 1, "parameter", True), Entry("c", (1,), 2, "buffer")),
    3,
    2,
)
SENT = {"w": torch.tensor([1.0, -2.0, 3.0])}


def test_a_client_goes_on_with_its_own_normalisation():
    client, seen = SimpleNamespace(state={}, layout=LAYOUT), []

    def fit(w):
        seen.append(w.tolist())
        return w + 10

    assert FedBN().local(fit, SENT, client)["w"].tolist() == [11.0, 8.0, 13.0]
    assert client.state["norms"].tolist() == [8.0]
    FedBN().local(fit, SENT, client)
    assert seen == [[1.0, -2.0, 3.0], [1.0, 8.0, 3.0]]
    assert FedBN().personal(None, SENT, client).tolist() == [1.0, 18.0, 3.0]
    assert SENT["w"].tolist() == [1.0, -2.0, 3.0]


def test_before_its_first_job_a_client_uses_the_server_s():
    client = SimpleNamespace(state={}, layout=LAYOUT)
    assert FedBN().personal(None, SENT, client).tolist() == [1.0, -2.0, 3.0]
