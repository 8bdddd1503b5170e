"""The clients of a Flower project, as Flower's documentation teaches it."""

import torch
from flwr.client import ClientApp, NumPyClient
from flwr.common import Context
from sklearn.datasets import load_digits
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden, self.out = nn.Linear(64, 32), nn.Linear(32, 10)

    def forward(self, x):
        return self.out(torch.relu(self.hidden(x.flatten(1))))


def load_data(partition, partitions):
    digits = load_digits()
    x = torch.tensor(digits.images / 16, dtype=torch.float32)[partition::partitions]
    y = torch.tensor(digits.target)[partition::partitions]
    cut = len(x) * 4 // 5
    return (x[:cut], y[:cut]), (x[cut:], y[cut:])


class FlowerClient(NumPyClient):
    def __init__(self, net, train, test, epochs):
        self.net, self.train, self.test, self.epochs = net, train, test, epochs

    def get_parameters(self, config):
        return [tensor.numpy() for tensor in self.net.state_dict().values()]

    def set_parameters(self, parameters):
        state = dict(zip(self.net.state_dict(), map(torch.tensor, parameters)))
        self.net.load_state_dict(state, strict=True)

    def fit(self, parameters, config):
        self.set_parameters(parameters)
        optimizer = torch.optim.SGD(self.net.parameters(), lr=0.1, momentum=0.9)
        x, y = self.train
        for _ in range(self.epochs):
            for batch in torch.randperm(len(x)).split(16):
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(self.net(x[batch]), y[batch])
                loss.backward()
                optimizer.step()
        return self.get_parameters({}), len(x), {"train_loss": loss.item()}

    def evaluate(self, parameters, config):
        self.set_parameters(parameters)
        x, y = self.test
        with torch.no_grad():
            logits = self.net(x)
        accuracy = (logits.argmax(1) == y).float().mean().item()
        return nn.functional.cross_entropy(logits, y).item(), len(x), {"accuracy": accuracy}


def client_fn(context: Context):
    partition, partitions = context.node_config["partition-id"], context.node_config["num-partitions"]
    return FlowerClient(Net(), *load_data(partition, partitions), context.run_config["local-epochs"]).to_client()


app = ClientApp(client_fn)
