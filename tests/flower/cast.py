"""Strategies, functions and a model as a user would have them, without flwr."""

import numpy as np
import torch
from torch import nn

from hpcfl.flower import (
    EvaluateIns,
    FitIns,
    Parameters,
    Strategy,
    ndarrays_to_parameters,
    parameters_to_ndarrays,
)

TOLD = []
"""What the strategies below were asked, in order."""


class Mean(Strategy):
    """FedAvg in the six methods, which writes down what it is asked."""

    def __init__(self, config=None, clients=None):
        self.config, self.clients = config or {}, clients
        TOLD.clear()

    def initialize_parameters(self, client_manager):
        TOLD.append(("initialize_parameters", client_manager.num_available()))

    def _chosen(self, client_manager):
        clients = client_manager.all()
        return [clients[str(client)] for client in self.clients] if self.clients else list(clients.values())

    def configure_fit(self, server_round, parameters, client_manager):
        TOLD.append(("configure_fit", server_round))
        return [(proxy, FitIns(parameters, dict(self.config))) for proxy in self._chosen(client_manager)]

    def aggregate_fit(self, server_round, results, failures):
        TOLD.append(("aggregate_fit", server_round, [int(proxy.cid) for proxy, _ in results], list(map(str, failures))))
        whole = sum(result.num_examples for _, result in results)
        weights = [result.num_examples / whole for _, result in results]
        models = [parameters_to_ndarrays(result.parameters) for _, result in results]
        mean = [sum(w * array for w, array in zip(weights, arrays)) for arrays in zip(*models)]
        return ndarrays_to_parameters(mean), {"clients": len(results), "said": "ciao", "whole": whole}

    def configure_evaluate(self, server_round, parameters, client_manager):
        TOLD.append(("configure_evaluate", server_round))
        return [(proxy, EvaluateIns(parameters, {})) for proxy in self._chosen(client_manager)[:3]]

    def aggregate_evaluate(self, server_round, results, failures):
        TOLD.append(("aggregate_evaluate", server_round, [int(proxy.cid) for proxy, _ in results]))
        losses = [(result.num_examples, result.loss) for _, result in results]
        loss = sum(n * loss for n, loss in losses) / sum(n for n, _ in losses)
        return loss, {"accuracy": min(result.metrics["accuracy"] for _, result in results)}

    def evaluate(self, server_round, parameters):
        TOLD.append(("evaluate", server_round))
        return float(sum(np.abs(array).sum() for array in parameters.tensors)), {"round": server_round}


class Summed(Mean):
    """The same, which needs no more than the mean."""

    weighted_mean = True


class Fixed(Mean):
    """Starts from zeros, trains every client from a model of its own, and keeps the model as it is."""

    def initialize_parameters(self, client_manager):
        return None if self.config.get("job") else self.config.pop("first", None)

    def configure_fit(self, server_round, parameters, client_manager):
        own = Parameters([array + 1 for array in parameters.tensors])
        pairs = super().configure_fit(server_round, parameters, client_manager)
        return [(proxy, FitIns(own if proxy.cid == "0" else ins.parameters, ins.config)) for proxy, ins in pairs]

    def aggregate_fit(self, server_round, results, failures):
        self.brought = {proxy.cid: result.parameters.tensors for proxy, result in results}
        return None, {}


class Yields(Fixed):
    """The same with a generator, which keeps none of the models that it gives."""

    def configure_fit(self, server_round, parameters, client_manager):
        for cid, proxy in client_manager.all().items():
            yield proxy, FitIns(Parameters([array + int(cid) for array in parameters.tensors]), {})


class Scalars(Mean):
    """Tells losses and metrics that are arrays and tensors without dimensions."""

    def evaluate(self, server_round, parameters):
        return torch.tensor(0.5, requires_grad=True), {"round": np.array(server_round)}


class Sampled(Mean):
    """Draws three clients, with a criterion, and uses the global random numbers of Python, NumPy and torch."""

    def configure_fit(self, server_round, parameters, client_manager):
        import random

        class Odd:
            def select(self, client):
                return client.properties["partition-id"] % 2

        drawn = client_manager.sample(2, criterion=Odd())
        numbers = random.random(), float(np.random.rand()), float(torch.rand(()))
        TOLD.append((server_round, [proxy.cid for proxy in drawn], *numbers))
        return [(proxy, FitIns(parameters, {})) for proxy in drawn]


class Wrong(Mean):
    """Answers a method in a given way."""

    def __init__(self, method, answer):
        super().__init__()
        usual = getattr(self, method)

        def answered(*given):
            if given[0] != 2:  # the second round
                return usual(*given)
            return {
                "raise": lambda: [][1],
                "nothing": lambda: None,
                "list": lambda: [1, 2],
                "nan": lambda: (Parameters([array * np.nan for array in given[1][0][1].parameters.tensors]), {}),
                "shape": lambda: (Parameters([array[:1] for array in given[1][0][1].parameters.tensors]), {}),
                "few": lambda: (Parameters(given[1][0][1].parameters.tensors[1:]), {}),
                "text": lambda: ("w", {}),
                "metrics": lambda: (None, {"a": object()}),
                "empty": list,
                "twice": lambda: usual(*given) * 2,
                "stranger": lambda: [(object(), FitIns(given[1], {}))],
                "write": lambda: given[1].tensors[0].fill(0.0),
                "lr": lambda: [(proxy, FitIns(given[1], {"lr": -1.0})) for proxy, _ in usual(*given)],
                "epochs": lambda: [(proxy, FitIns(given[1], {"local_epochs": 1.5})) for proxy, _ in usual(*given)],
                "many": lambda: given[2].sample(99),
                "late": lambda: (1 / 0 for _ in "1"),
                "loss": lambda: (object(), {}),
                "gradients": lambda: (Parameters([torch.ones(1, requires_grad=True)] * 4), {}),
            }[answer]()

        setattr(self, method, answered)


def made(parameters=None):
    """A function that gives a strategy."""
    return Mean()


class Normed(nn.Sequential):
    """A model with an integer buffer in the middle of its state_dict."""

    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, 10))


class Odd(Mean):
    """Keeps something that nobody can write down."""

    def __init__(self):
        super().__init__()
        self.odd = object()


class Grows(Mean):
    """Begins to keep something of that kind in the first round."""

    def aggregate_fit(self, server_round, results, failures):
        self.odd = nn.Linear(1, 1)
        return super().aggregate_fit(server_round, results, failures)


class Momentum(Mean):
    """Has arrays and numbers of its own, also from the evaluation."""

    def __init__(self):
        super().__init__()
        self.velocity, self.best = None, 9.0

    def configure_fit(self, server_round, parameters, client_manager):
        pairs = super().configure_fit(server_round, parameters, client_manager)
        self.before = parameters_to_ndarrays(parameters)
        drawn = {proxy.cid for proxy in client_manager.sample(4)}
        return [(proxy, FitIns(parameters, {"lr": 0.02 * self.best})) for proxy, _ in pairs if proxy.cid in drawn]

    def aggregate_fit(self, server_round, results, failures):
        mean, metrics = super().aggregate_fit(server_round, results, failures)
        change = [new - old for new, old in zip(mean.tensors, self.before)]
        self.velocity = [0.5 * v + c for v, c in zip(self.velocity, change)] if self.velocity else change
        model = [old + v for old, v in zip(self.before, self.velocity)]
        return Parameters(model), {**metrics, "noise": float(np.random.rand())}

    def aggregate_evaluate(self, server_round, results, failures):
        loss, metrics = super().aggregate_evaluate(server_round, results, failures)
        self.best = min(self.best, loss)
        return loss, metrics


class Adds:
    """A client without flwr: it adds its number, and counts in its context."""

    def __init__(self, context, step=1.0):
        self.context, self.step = context, step

    def fit(self, parameters, config):
        self.context.state["seen"] = self.context.state.get("seen", 0) + 1
        number = self.context.node_config["partition-id"]
        arrays = [array + self.step * number for array in parameters]
        return arrays, 1, {"seen": self.context.state["seen"], **self.context.run_config}

    def evaluate(self, parameters, config):
        return np.float32(parameters[0].mean()), 1, {"accuracy": 0.5}
