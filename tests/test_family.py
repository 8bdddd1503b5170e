"""Families: the prefix tree, and the vector of all that is averaged, against what each scheme says of pairs."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hpcfl.client import Client
from hpcfl.core import Cohort, Job, Update, World
from hpcfl.devices import Devices
from hpcfl.family import Family
from hpcfl.flat import Layout
from hpcfl.strategies import STRATEGIES
from hpcfl.sums import ExactSum, FloatSum

CPU = torch.device("cpu")
SCHEMES = ("standalone", "clustered_fl", "basic_common", "clustered_common", "max_common")


class Stack(nn.Sequential):
    """Layers of one tensor each, by (name, elements, whether it is trained)."""

    def __init__(self, *rows):
        super().__init__()
        for name, size, trained in rows:
            layer = nn.Module()
            if trained:
                layer.w = nn.Parameter(torch.zeros(size))
            else:
                layer.register_buffer("w", torch.zeros(size))
            self.add_module(name, layer)


class Tied(nn.Module):
    """The second layer is the first one's tensor."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
        self.b.weight = self.a.weight
        self.c = nn.Linear(2, 1, bias=False)


def family_of(scheme, modules, of):
    layouts = [Layout.of(module) for module in modules]
    initials = [torch.arange(layout.size) + 100.0 * number for number, layout in enumerate(layouts)]
    names = [f"v{number}" for number in range(len(modules))]
    return Family.plan(names, layouts, initials, of, STRATEGIES[scheme]().groups)


def client_of(family, number, state):
    layout = family.layouts[family.of[number]]
    return Client(number, 0, 0, torch.zeros(1), torch.zeros(1), 1, 0.1, None, 0, layout, state,
                  family.pieces[family.of[number]])  # fmt: skip


def combine(scheme, family, models, examples):
    """What each client has after a step: `models` has those that arrive, by client, and all begin with `first`."""
    strategy, clients = STRATEGIES[scheme](), len(family.of)
    world = World(0, 1, np.ones((clients, 1), int), 1, (1, 1), Devices.alike(clients), initial=family.initial,
                  family=family)  # fmt: skip
    state, total, whole = strategy.init(world), ExactSum((family.size,), CPU), sum(examples)
    loose = FloatSum((family.size,), CPU)
    came = sum(examples[number] for number in models)
    homes = [{"w": family.initials[number]} for number in family.of]
    for number, w in models.items():
        homes[number] = {"w": w}
        upload = client_of(family, number, {}).upload(w)
        for each in (total, loose):
            each.add(upload, examples[number] / whole, family.places(number))
    total.settle()
    mean = total.mean(came / whole)
    assert torch.allclose(mean, loose.mean(came / whole), atol=1e-5)
    jobs = [Job(number, 0, 0.0, 1.0, examples[number], 1, 1) for number in sorted(models)]
    updates = Cohort(tuple(Update(job, 0, 1, 0.0, 0.0, 0) for job in jobs), means={"w": mean})
    w = strategy.combine(state, updates)["w"]
    return [client_of(family, number, homes[number]).download(w) for number in range(clients)]


def path(module):
    """(name, shape) of each tensor, in order."""
    return [(name, tuple(tensor.shape)) for name, tensor in module.state_dict().items()]


def averaging(scheme, paths, of, client, tensor):
    """By the definition: the clients whose tensor (by place in their own model) is averaged with that of a client, or
    None where it stays at home."""
    prefix = paths[of[client]][: tensor + 1]
    alike = [other for other, number in enumerate(of) if paths[number][: tensor + 1] == prefix]
    twins = [other for other, number in enumerate(of) if number == of[client]]
    everywhere = len(alike) == len(of)
    return {
        "standalone": None,
        "clustered_fl": twins,
        "basic_common": alike if everywhere else None,
        "clustered_common": alike if everywhere else twins,
        "max_common": alike,
    }[scheme]


ARCHITECTURES = st.lists(
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 2), st.booleans()), min_size=1, max_size=4,
             unique_by=lambda row: row[0]),
    min_size=1, max_size=4,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(ARCHITECTURES, st.data())
@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_is_its_pairwise_definition(scheme, rows, data):
    modules = [Stack(*row) for row in rows]
    of = sorted([*range(len(rows)), *data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=3))])
    arrive = sorted(data.draw(st.sets(st.integers(0, len(of) - 1), min_size=1)))
    examples = data.draw(st.lists(st.integers(1, 9), min_size=len(of), max_size=len(of)))
    family, paths = family_of(scheme, modules, of), [path(module) for module in modules]
    numbers = np.random.default_rng(0)
    models = {
        client: torch.from_numpy(numbers.integers(-8, 8, family.layouts[of[client]].size)).float() for client in arrive
    }
    after = combine(scheme, family, models, examples)
    first = [family.layouts[number].views(initial) for number, initial in enumerate(family.initials)]
    for client, w in enumerate(after):
        layout = family.layouts[of[client]]
        for place, (name, tensor) in enumerate(layout.views(w).items()):
            others = averaging(scheme, paths, of, client, place)
            came = [other for other in others or [] if other in models]
            if others is None:
                expected = layout.views(models.get(client, family.initials[of[client]]))[name]
            elif came:
                whole = sum(examples[other] for other in came)
                expected = sum(
                    family.layouts[of[other]].views(models[other])[name] * (examples[other] / whole) for other in came
                )
            else:
                expected = first[min(of[other] for other in others)][name]
            assert torch.allclose(tensor, expected, atol=1e-5), (client, name)


@settings(max_examples=60, deadline=None)
@given(ARCHITECTURES)
def test_the_vector_holds_the_tree_and_nothing_twice(rows):
    modules = [Stack(*row) for row in rows]
    family = family_of("max_common", modules, range(len(rows)))
    nodes = {tuple(whole[: end + 1]) for whole in map(path, modules) for end in range(len(whole))}
    assert family.size == sum(math.prod(node[-1][1]) for node in nodes) == sum(slot.size for slot in family.slots)
    assert len(family.slots) == len(nodes)
    for number, pieces in enumerate(family.pieces):
        assert sum(piece.size for piece in pieces) == family.layouts[number].size == family.averaged(number)


def test_one_architecture_is_one_piece_of_its_own_vector():
    family = family_of("max_common", [Stack(("a", 3, True), ("n", 2, False), ("b", 4, True))], [0, 0])
    assert family.pieces == (((0, 0, 9),),)
    assert torch.equal(family.initial, family.initials[0])


def test_what_the_server_has_of_an_architecture():
    modules = [Stack(("a", 1, True), ("n", 2, False), ("b", 1, True)), Stack(("a", 1, True), ("n", 2, False))]
    family = family_of("basic_common", modules, [0, 1])
    vector, starts = family.at_server(0, torch.tensor([5.0, 6.0, 7.0]))
    assert (vector.tolist(), starts) == ([5.0, 6.0, 7.0], {"a.w": 0, "n.w": 1})
    assert [slot for slot in family.slots if not slot.averaged] == [("b.w", (1,), (0,), False)]
    nothing, starts = family_of("standalone", modules, [0, 1]).at_server(1, torch.zeros(0))
    assert (nothing.tolist(), starts) == ([], {})


def test_a_tied_tensor_is_averaged_once():
    class Loose(Tied):
        def __init__(self):
            super().__init__()
            self.b.weight = nn.Parameter(torch.zeros(2, 2))

    family = family_of("max_common", [Tied(), Loose()], [0, 1])
    assert [(slot.name, slot.members) for slot in family.slots] == [
        ("a.weight", (0, 1)), ("c.weight", (0, 1)), ("b.weight", (1,))
    ]  # fmt: skip
    assert family.size == 4 + 2 + 4


def test_a_note_where_nothing_is_in_common():
    apart = family_of("max_common", [Stack(("a", 1, True)), Stack(("a", 2, True))], [0, 1])
    assert apart.note.startswith("client.models: v0, v1 have no tensor in common")
    assert not family_of("max_common", [Stack(("a", 1, True)), Stack(("a", 1, True), ("b", 1, True))], [0, 1]).note
