"""What single keys of Async-FL mean: a change to a sample, and the native key that follows it."""

import pytest
from asyncfl.samples import sample

from hpcfl.asyncfl.convert import convert

SCHEDULER, UPDATER, SCHEDULE = "server.scheduler", "server.updater", "server.scheduler.schedule"
STEP = {"step": 2, "list": [4, 6]}
FEDAVG = {"path": "update.FedAvg.FedAvg"}


def find(table, key):
    for word in key.split("."):
        table = table.get(word) if isinstance(table, dict) else None
    return table


def native(name, changes, key):
    return find(convert(sample(name, **changes))[0], key)


@pytest.mark.parametrize(
    ("name", "changes", "key", "value"),
    [
        ("FedAvg", {"server.epochs": 7}, "rounds", 7),
        ("FedAvg", {"global.experiment": "a b/ç/2"}, "name", "a-b-2"),
        ("FedAvg", {"global.seed": 42}, "seed", 42),
        ("FedAvg", {"global.seed": None}, "seed", 0),
        # data
        ("FedAvg", {"global.dataset": {"path": "dataset.FashionMNIST"}}, "data", {"name": "fashion_mnist"}),
        ("FedAvg", {"global.dataset.path": "dataset.CIFAR100.CIFAR100"}, "data.name", "cifar100"),
        ("FedAvg", {"global.dataset.path": "dataset.SVHN.SVHN"}, "data.name", "svhn"),
        ("FedAvg", {"global.dataset.path": "dataset.UCIHAR.UCIHAR"}, "data.name", "uci_har"),
        ("FedAvg", {"global.dataset.path": "dataset.PAMAP2.PAMAP2"}, "data.name", "pamap2"),
        (
            "FedAvg",
            {"global.dataset": {"path": "dataset.EMNIST.EMNIST", "params": {"split": "letters"}}},
            "data",
            {"name": "emnist", "split": "letters"},
        ),
        (
            "FedAvg",
            {"global.dataset": {"path": "json.load", "params": {"root": "x", "size": 3}}},
            "data",
            {"name": "json.load", "params": {"root": "x", "size": 3}},
        ),
        ("FedBN", {}, "data.transform", {"name": "crop_flip", "padding": 4}),
        # partition
        ("FedAvg", {"global.iid": False}, "partition", {"name": "dirichlet", "clients": 50, "beta": 0.5}),
        ("FedAvg", {"global.iid": {"customize": False, "beta": 2}}, "partition.beta", 2),
        ("FedProx", {"global.client_num": {"all_clients": 12}}, "partition.clients", 12),
        (
            "FedProx",
            {"global.iid": {"label": [1, 2] * 5, "data": {}}},
            "partition",
            {"name": "labels", "clients": 10, "labels": {"list": [1, 2] * 5}},
        ),
        ("FedProx", {"global.iid": {"customize": True, "label": STEP}}, "partition.labels", STEP),
        (
            "FedProx",
            {"global.iid": {"customize": {"data": {"min": 3, "max": 4}}}},
            "partition",
            {"name": "iid", "clients": 10, "amounts": {"min": 3, "max": 4}},
        ),
        ("FedProx", {"global.iid": {"label": {}, "data": [7] * 10}}, "partition.amounts", [7] * 10),
        ("FedProx", {"global.iid": {"label": {}, "data": {}}}, "partition", {"name": "iid", "clients": 10}),
        (
            "FedProx",
            {"global.iid": {"customize": {"label": STEP, "data": {"min": 3, "max": 4}}}},
            "partition.amounts",
            {"min": 3, "max": 4},
        ),
        (
            "FedAvg",
            {"global.iid": {"path": "json.load", "params": {"b": 1}}},
            "partition",
            {"name": "json.load", "clients": 50, "b": 1},
        ),
        # delays
        ("FedAvg", {"global.stale": False}, "client.device", {"seconds_per_step": 0.01, "stale": False}),
        ("FedAvg", {"global.stale": None}, "client.device.stale", False),
        ("FedAvg", {"global.stale": True}, "client.device.stale", False),
        ("FedProx", {"global.stale": [0.5] * 10}, "client.device.stale", [0.5] * 10),
        ("FedProx", {"global.stale": STEP}, "client.device.stale", {"step": 2, "shuffle": False, "list": [4, 6]}),
        ("FedAvg", {"global.stale": {"path": "json.load", "params": {}}}, "client.device.stale", "json.load"),
        # models
        ("FedBN", {"global.dataset.path": "dataset.CIFAR100.CIFAR100"}, "model.num_classes", 100),
        (
            "FedBN",
            {"global.dataset": {"path": "dataset.EMNIST.EMNIST", "params": {"split": "balanced"}}},
            "model",
            {"name": "torchvision.models.resnet18", "num_classes": 47},
        ),
        # clients
        ("FedAvg", {"client.batch_size": 7}, "client.batch_size", 7),
        ("FedAvg", {"client.optimizer": {"path": "torch.optim.SGD", "params": {"lr": 1}}}, "client.optimizer", None),
        (
            "FedAvg",
            {"client.optimizer.path": "torch.optim.AdamW"},
            "client.optimizer",
            {"name": "adamw", "weight_decay": 0},
        ),
        (
            "FedAvg",
            {"client.optimizer": {"path": "torch.optim.RMSprop", "params": {"lr": 1}}},
            "client.optimizer",
            "torch.optim.RMSprop",
        ),
        (
            "FedAvg",
            {"client.optimizer": {"name": "SGD", "lr": 0.1, "momentum": 0.9}},
            "client.optimizer",
            {"name": "sgd", "momentum": 0.9},
        ),
        (
            "FedAvg",
            {"client.scheduler": {"path": "torch.optim.lr_scheduler.CosineAnnealingLR", "params": {"T_max": 9}}},
            "client.lr_schedule",
            {"name": "cosine", "T_max": 9},
        ),
        ("FedAvg", {"client.test_size": 0.1}, "client.test_size", None),
        ("FedAvg", {"client.test_batch_size": 16}, "server", None),
        ("FedAvg-local-test", {}, "client.test_size", 0.2),
        ("FedAvg-local-test", {"client.path": "client.SemiTestClient.SemiTestClient"}, "server.test_batch_size", 64),
        # stragglers
        ("FedProx", {"client.params.straggler": 0.3}, "client.epochs", [1, 5]),
        ("FedProx", {"client.params.straggler": False}, "client.epochs", 1),
        ("FedProx", {"client.params.local_epoch": None, "client.epochs": 4}, "client.epochs", [1, 4]),
        ("FedProx", {"client.params.local_epoch": 1}, "client.epochs", 1),
        ("FedProx", {"client.path": "client.NormalClient.NormalClient", "client.epochs": 3}, "client.epochs", 3),
        # losses
        ("FedAvg", {"client.loss": "cross_entropy"}, "client.loss", None),
        ("FedAvg", {"client.loss": {"path": "torch.nn.CrossEntropyLoss", "params": {}}}, "client.loss", None),
        (
            "FedAvg",
            {
                "client.loss": {
                    "type": "func",
                    "path": "torch.nn.functional.cross_entropy",
                    "params": {"label_smoothing": 0.1},
                }
            },
            "client.loss",
            {"name": "cross_entropy", "label_smoothing": 0.1},
        ),
        ("FedAvg", {"client.loss": "nll_loss"}, "client.loss", "torch.nn.functional.nll_loss"),
        ("FedAvg", {"client.loss": {"path": "torch.nn.MultiMarginLoss"}}, "client.loss", "torch.nn.MultiMarginLoss"),
        ("FedAvg", {"client.loss": {"type": "class", "path": "torch.nn.NLLLoss"}}, "client.loss", "torch.nn.NLLLoss"),
        (
            "FedAvg",
            {"client.loss": {"type": "func", "path": "json.load", "params": {"gamma": 2}}},
            "client.loss",
            {"name": "json.load", "gamma": 2},
        ),
        # algorithms
        ("FedLC", {"client.loss": "loss.FedLC.FedLC", f"{UPDATER}.update": FEDAVG}, "strategy", {"name": "fedlc"}),
        ("FedAvg", {"client.path": "json.Half"}, "strategy", {"name": "json.Half"}),
        (
            "FedAsync",
            {"client.path": "json.Half", "client.params": {"share": 2}, f"{UPDATER}.update.params": {"alpha": 1}},
            "strategy",
            {"name": "json.Half+fedasync", "share": 2, "alpha": 1, "staleness": "hinge"},
        ),
        ("FedAvg", {"client.mu": 0.1}, "strategy", {"name": "fedprox", "mu": 0.1}),
        ("FedProx", {"client.mu": 0}, "strategy", {"name": "fedprox", "mu": 0}),
        ("FedAT", {"client.mu": 0}, "strategy", {"name": "fedat", "mu": 0}),
        ("FedBN", {"client.mu": 0.1}, "strategy", {"name": "fedprox+fedbn", "mu": 0.1}),
        ("FedLC", {f"{UPDATER}.update": {"path": "update.FedAvg.FedAvg"}}, "strategy", {"name": "fedlc", "tau": 0.5}),
        ("FedNova", {"client.path": "client.NormalClient.NormalClient"}, "strategy.name", "fednova"),
        ("FedNova", {f"{UPDATER}.update.path": "update.FedAvg.FedAvg"}, "strategy.name", "fednova"),
        ("FedDL", {"client.mu": 0.1}, "strategy", {"name": "fedprox+feddl", "mu": 0.1, "n_clusters": 2, "alpha": 0.3}),
        (
            "TWAFL",
            {f"{UPDATER}.update.params": {"loop": 3, "deep": ["7"]}},
            "strategy",
            {"name": "twafl", "loop": 3, "deep": ["7"]},
        ),
        (
            "FedNova",
            {
                "client.path": "client.ScaffoldClient.ScaffoldClient",
                f"{UPDATER}.update": {"path": "update.Scaffold.Scaffold", "params": {"lr": 0.5}},
                f"{SCHEDULER}.path": "scheduler.ScaffoldScheduler.ScaffoldScheduler",
            },
            "strategy",
            {"name": "scaffold", "eta_g": 0.5},
        ),
        (
            "FedAvg",
            {f"{UPDATER}.update": {"path": "json.Mine", "params": {"q": 1}}},
            "strategy",
            {"name": "json.Mine", "q": 1},
        ),
        ("FedLC", {f"{UPDATER}.update": {"path": "json.Mine"}}, "strategy", {"name": "fedlc+json.Mine", "tau": 0.5}),
        (
            "FedAvg",
            {f"{UPDATER}.optimizer": {"path": "torch.optim.SGD", "params": {"lr": 1, "momentum": 0.9}}},
            "strategy",
            {"name": "fedopt", "optimizer": {"name": "torch.optim.SGD", "lr": 1, "momentum": 0.9}},
        ),
        # schedules
        (
            "FedAvg",
            {f"{SCHEDULE}.path": "schedule.FullSchedule.FullSchedule"},
            "schedule",
            {"name": "synchronous", "c_ratio": 1.0},
        ),
        (
            "FedAvg",
            {f"{SCHEDULE}.path": "schedule.RoundRobin.RoundRobin"},
            "schedule",
            {"name": "synchronous", "c_ratio": 0.3, "choose": "round_robin"},
        ),
        ("FedAT", {f"{SCHEDULE}.path": "schedule.RoundRobin.RoundRobin"}, "schedule.choose", "round_robin"),
        ("FedAvg", {SCHEDULE: {"path": "json.Mine", "params": {"q": 1}}}, "schedule", {"name": "json.Mine", "q": 1}),
        (
            "FedAvg",
            {"server.path": "server.SyncServer.SyncServer", f"{UPDATER}.path": None, f"{SCHEDULER}.path": None},
            "schedule.name",
            "synchronous",
        ),
        ("FedAsync", {f"{SCHEDULE}.path": "schedule.RoundRobin.RoundRobin"}, "schedule.choose", "round_robin"),
        ("FedAsync", {f"{SCHEDULE}.path": "schedule.FullSchedule.FullSchedule"}, "schedule.c_ratio", None),
        ("FedAsync", {"client.path": "client.ActiveClient.ActiveClient"}, "schedule.choose", "no"),
        ("FedAsync", {f"{SCHEDULE}.path": "schedule.NoSchedule.NoSchedule"}, "schedule.acquire_model_delay", 0),
        ("FedAsync", {f"{UPDATER}.path": "updater.ActiveAsyncUpdater.ActiveAsyncUpdater"}, "schedule.c_ratio", 0.3),
        ("FedAsync", {"queue_manager.checker.path": "checker.SyncChecker.SyncChecker"}, "schedule.checker", "current"),
        ("FedAsync", {"queue_manager": None}, "schedule.checker", None),
        (
            "FedAsync",
            {f"{UPDATER}.num_generator": {"path": "json.Mine", "params": {"q": 1}}},
            "schedule.num_generator",
            {"name": "json.Mine", "q": 1},
        ),
        ("FedAsync-one-update", {f"{SCHEDULE}.params.c_ratio": 1}, "schedule.in_flight", 10),
        ("FedAsync-one-update", {f"{SCHEDULE}.params.c_ratio": 0.01}, "schedule.in_flight", 1),
        ("FedAsync-one-update", {f"{SCHEDULE}.path": "schedule.FullSchedule.FullSchedule"}, "schedule.in_flight", 10),
        (
            "FedAsync",
            {
                f"{SCHEDULER}.path": "scheduler.AsyncScheduler.AsyncSchedulerWithUpdate",
                f"{UPDATER}.num_generator": 2,
                f"{SCHEDULER}.schedule_interval": 6,
            },
            "schedule.schedule_interval",
            3,
        ),
        ("FedAT", {"group_manager": None}, "schedule.group", "one"),
        (
            "FedAT",
            {"group_manager.group_method": {"path": "json.Mine", "params": {"q": 1}}},
            "schedule.group",
            {"name": "json.Mine", "q": 1},
        ),
        (
            "FedAT",
            {
                "server.path": "fedsemi.SemiAsyncServer.SemiAsyncServer",
                f"{UPDATER}.path": "fedsemi.UpdaterThread.UpdaterThread",
            },
            "schedule.name",
            "tiered",
        ),
        ("FedAT", {"server.path": "server.GroupServer.GroupServer"}, "schedule.name", "tiered"),
        # tracking
        ("FedAvg", {}, "tracking", None),
        ("FedAvg", {"wandb": {"enabled": True}}, "tracking", {"wandb": {}}),
        ("FedAvg", {"wandb": {"enabled": True, "project": "p"}}, "tracking.wandb", {"project": "p"}),
        ("FedAvg", {"wandb": None}, "tracking", None),
    ],
)
def test_key(name, changes, key, value):
    found = native(name, changes, key)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"global.iid": False}, "global.iid = false is taken as Dirichlet shares with beta 0.5"),
        ({"global.stale": True}, "global.stale = true is taken as false"),
        ({"global.seed": None}, "global.seed is not given, so it is 0"),
        ({"client.alpha": 0.1, "client.acquire_model_delay": 1}, "client.acquire_model_delay, client.alpha"),
        ({"client.test_size": 0.1}, "client.test_size"),
        ({f"{UPDATER}.num_generator": 3}, f"{UPDATER}.num_generator"),
        ({f"{UPDATER}.loss": "torch.nn.functional.nll_loss"}, f"{UPDATER}.loss differs from client.loss"),
        ({"global.mode": {"path": "core.TimeSlice.TimeSlice", "params": {}}}, "global.mode"),
        ({"global.dataset.params": {"fast": True}}, "global.dataset.params.fast"),
        ({"global.save": True, "server.scheduler.other": 1}, "server.scheduler.other"),
        (
            {"client.params": {"straggler": True, "local_epoch": 2}},
            "client.params.local_epoch, client.params.straggler",
        ),
    ],
)
def test_what_does_not_apply_is_noted(changes, words):
    assert words in "; ".join(convert(sample("FedAvg", **changes))[1])


@pytest.mark.parametrize(
    ("params", "notes"),
    [
        ({"straggler": True, "local_epoch": 1}, []),
        ({"straggler": True}, []),
        (
            {"straggler": True, "local_epoch": 5},
            ["client.epochs = 1 is not used: clients draw 1 to client.params.local_epoch epochs"],
        ),
        ({"straggler": 0.3}, ["client.params.straggler = 0.3 is taken as true: all clients draw 1 to 1 epochs"]),
        ({"straggler": 0, "local_epoch": 5}, []),
    ],
)
def test_what_stragglers_are_taken_for_is_noted(params, notes):
    changes = {"client.params": params, "global.stale": False}
    assert list(convert(sample("FedProx", **changes)).notes[1:]) == notes


def test_nulls_are_left_out_and_noted():
    table = sample("FedAvg")
    table["global"]["stale"] = table["client"]["optimizer"]["params"]["momentum"] = None
    job, notes, _ = convert(table)
    assert job["client"]["optimizer"] == {"name": "sgd", "weight_decay": 0}
    assert {"global.stale = null is left out", "client.optimizer.params.momentum = null is left out"} < set(notes)


def test_a_path_of_ones_own_is_found_beside_the_file(tmp_path):
    changes = {"client.model": {"path": "nets.Mine", "params": {}}, "server.model": {"path": "nets.Mine", "params": {}}}
    (tmp_path / "nets.py").touch()
    assert convert(sample("FedAvg", **changes), tmp_path)[0]["model"] == {"name": "nets.Mine"}


def test_what_is_given_stays_as_it_is():
    table = sample("older")
    convert(table)
    assert table == sample("older")
