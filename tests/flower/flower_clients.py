"""Clients as in a Flower project: data, model, training and evaluation are their own."""

import random
from functools import cache

import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.client import Client, ClientApp, NumPyClient
from flwr.clientapp.mod import adaptiveclipping_mod, fixedclipping_mod
from flwr.common import (
    Code,
    EvaluateRes,
    FitRes,
    Status,
    ndarrays_to_parameters,
    parameters_to_ndarrays,
)
from sklearn.datasets import load_digits
from torch import nn


def net():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10))


digits_once = cache(load_digits)


def share(number, of):
    digits = digits_once()
    x, y = torch.tensor(digits.images / 16, dtype=torch.float32)[:, None], torch.tensor(digits.target)
    x, y = x[number::of], y[number::of]
    cut = len(x) * 4 // 5
    return (x[:cut], y[:cut]), (x[cut:], y[cut:])


class FlowerClient(NumPyClient):
    def __init__(self, partition_id, num_partitions):
        self.number, self.net = partition_id, net()
        self.train, self.test = share(partition_id, num_partitions)

    def get_properties(self, config):
        return {"samples": len(self.train[0]), **config}

    def get_parameters(self, config):
        return [tensor.numpy() for tensor in self.net.state_dict().values()]

    def set_parameters(self, parameters):
        names = self.net.state_dict()
        self.net.load_state_dict({name: torch.tensor(array) for name, array in zip(names, parameters)}, strict=True)

    def fit(self, parameters, config):
        if config.get("fails") == self.number:
            raise RuntimeError("no power")
        self.set_parameters(parameters)
        optimizer = torch.optim.SGD(self.net.parameters(), lr=config.get("lr", 0.1))
        x, y = self.train
        for batch in torch.randperm(len(x)).split(20):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(self.net(x[batch]), y[batch])
            loss.backward()
            optimizer.step()
        return self.get_parameters({}), len(x), {"train_loss": loss.item(), "drawn": random.random()}

    def evaluate(self, parameters, config):
        self.set_parameters(parameters)
        x, y = self.test
        with torch.no_grad():
            logits = self.net(x)
        right = (logits.argmax(1) == y).float().mean().item()
        return nn.functional.cross_entropy(logits, y).item(), len(x), {"accuracy": right}


class Raw(Client):
    """The same without NumPyClient's help."""

    def __init__(self, context):
        self.inner = FlowerClient(**numbers(context))

    def fit(self, ins):
        arrays, examples, metrics = self.inner.fit(parameters_to_ndarrays(ins.parameters), ins.config)
        return FitRes(Status(Code.OK, ""), ndarrays_to_parameters(arrays), examples, metrics)

    def evaluate(self, ins):
        return EvaluateRes(
            Status(Code.OK, ""), *self.inner.evaluate(parameters_to_ndarrays(ins.parameters), ins.config)
        )


class Needy(NumPyClient):
    def __init__(self, net, loader):
        self.net, self.loader = net, loader


class Misshapen(FlowerClient):
    def fit(self, parameters, config):
        return [array[:1] for array in parameters], 5, {}


class Untold(FlowerClient):
    def fit(self, parameters, config):
        return super().fit(parameters, config)[:2]


class Mute(FlowerClient):
    """Tells no loss, and cannot evaluate."""

    def fit(self, parameters, config):
        arrays, examples, _ = super().fit(parameters, config)
        return arrays, examples, {"raw": b"\x00\xff", "big": "x" * 9000}

    def evaluate(self, parameters, config):
        raise RuntimeError("no test share")


def numbers(context):
    node = context.node_config
    return {"partition_id": node["partition-id"], "num_partitions": node["num-partitions"]}


def client_fn(context: Context):
    return FlowerClient(**numbers(context)).to_client()


def by_cid(cid: str):
    return FlowerClient(int(cid), 6)


legacy = ClientApp(client_fn)
clipping = ClientApp(client_fn, mods=[fixedclipping_mod])
adaptive = ClientApp(client_fn, mods=[adaptiveclipping_mod])


def train(message: Message, context: Context):
    client = FlowerClient(**numbers(context))
    client.net.load_state_dict(message.content["arrays"].to_torch_state_dict())
    arrays, examples, metrics = client.fit(client.get_parameters({}), dict(message.content["config"]))
    records = {
        "arrays": ArrayRecord(client.net.state_dict()),
        "metrics": MetricRecord({**metrics, "num-examples": examples}),
    }
    return Message(RecordDict(records), reply_to=message)


def evaluate(message: Message, context: Context):
    client = FlowerClient(**numbers(context))
    client.net.load_state_dict(message.content["arrays"].to_torch_state_dict())
    loss, examples, metrics = client.evaluate(client.get_parameters({}), dict(message.content["config"]))
    record = MetricRecord({"eval_loss": loss, **metrics, "num-examples": examples})
    return Message(RecordDict({"metrics": record}), reply_to=message)


app, adaptive_app = ClientApp(), ClientApp()
app.train()(train)
app.evaluate()(evaluate)
adaptive_app.train(mods=[adaptiveclipping_mod])(train)
adaptive_app.evaluate()(evaluate)


def counting(context: Context):
    """A client that remembers in its context how often it was here."""
    from flwr.app import ConfigRecord

    state = context.state.config_records.setdefault("times", ConfigRecord({"seen": 0}))
    state["seen"] += 1
    client, seen = FlowerClient(**numbers(context)), state["seen"]
    usual = client.fit
    client.fit = lambda parameters, config: (*usual(parameters, config)[:2], {"seen": seen, **context.run_config})
    return client


def central(server_round, parameters, config):
    """An `evaluate_fn` of flwr.server's strategies."""
    return 1.0 / (1 + server_round), {"arrays": len(parameters)}


def central_record(server_round, arrays):
    """An `evaluate_fn` of flwr.serverapp's."""
    return MetricRecord({"loss": 1.0 / (1 + server_round), "arrays": len(arrays)})


def fit_config(server_round):
    return {"lr": 0.1 / server_round, "fails": 2}


def private(context: Context):
    """A client in the wrapper that DPFedAvg needs."""
    from flwr.compat.client.dpfedavg_numpy_client import DPFedAvgNumPyClient

    return DPFedAvgNumPyClient(FlowerClient(**numbers(context)))


clipping_app = ClientApp()
clipping_app.train(mods=[fixedclipping_mod])(train)
clipping_app.evaluate()(evaluate)
