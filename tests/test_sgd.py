"""The clients' SGD makes torch.optim.SGD's steps, bit for bit, and loads less."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from hpcfl.sgd import SGD

SETTINGS = [
    {},
    {"momentum": 0.9},
    {"momentum": 0.9, "nesterov": True},
    {"momentum": 0.9, "dampening": 0.5, "weight_decay": 0.01},
    {"weight_decay": 0.1, "maximize": True},
    {"momentum": 0.5, "foreach": True},
    {"momentum": 0.5, "fused": True},
]


def trained(optimizer, settings, forget=False):
    torch.manual_seed(0)
    module, unused = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)), nn.Linear(2, 2)
    steps = optimizer([*module.parameters(), *unused.parameters()], lr=0.1, **settings)
    for number in range(6):
        if forget and number == 3:
            steps.state.clear()
            steps.param_groups[0]["lr"] = 0.05
        steps.zero_grad()
        module(torch.randn(5, 4)).square().mean().backward()
        steps.step()
    return torch.cat([parameter.detach().flatten() for parameter in (*module.parameters(), *unused.parameters())])


@pytest.mark.parametrize("forget", [False, True])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_the_bits_are_those_of_torch(settings, forget):
    assert torch.equal(trained(SGD, settings, forget), trained(torch.optim.SGD, settings, forget))


@pytest.mark.parametrize(
    "settings",
    [
        {"lr": -1.0},
        {"momentum": -0.1},
        {"weight_decay": -1.0},
        {"nesterov": True},
        {"nesterov": True, "momentum": 0.9, "dampening": 0.1},
        {"fused": True, "foreach": True},
    ],
)
def test_what_torch_refuses_is_refused(settings):
    parameters = [nn.Parameter(torch.zeros(2))]
    with pytest.raises(ValueError):
        SGD(parameters, **settings)
    with pytest.raises((ValueError, RuntimeError)):
        torch.optim.SGD(parameters, **settings)


def test_a_job_with_sgd_does_not_import_the_compiler():
    lines = (
        "import sys, torch",
        "from hpcfl.bench.race import Ours, rounds_of",
        "from hpcfl.build import assemble",
        "from hpcfl.jobfile import packaged",
        "from hpcfl.transport.group import Solo",
        "job = packaged('quickstart', ('rounds=1', 'client.epochs=1'))",
        "parts = assemble(job, torch.device('cpu'), trains=True, serves=True)",
        "ours = Ours('', job, parts, Solo())",
        "ours.round(rounds_of(parts, 1)[0])",
        "parts.evaluate(100)(ours.model())",
        "print('torch._dynamo' in sys.modules)",
    )
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
