"""Mistakes in Async-FL's files: one message with the key as the file spells it, what was given, what is valid."""

import json
import sys

import pytest
from asyncfl.samples import FOLDER, sample
from click.testing import CliRunner

from hpcfl.asyncfl.convert import convert
from hpcfl.asyncfl.document import document
from hpcfl.cli import cli
from hpcfl.errors import JobError
from hpcfl.jobfile import read

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SCHEDULER, UPDATER, SCHEDULE = "server.scheduler", "server.updater", "server.scheduler.schedule"


def complaint(table, folder=None):
    with pytest.raises(JobError) as caught:
        convert(table, folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        # keys
        ("FedAvg", {"global.custom": {}}, "global.custom: unknown key; valid: client_num"),
        ("FedAvg", {"clients": {}}, "clients: unknown key; did you mean client"),
        ("FedAvg", {"client.batchsize": 3}, "client.batchsize: unknown key; did you mean batch_size"),
        ("FedAvg", {"client.model.parms": {}}, "client.model.parms: unknown key; did you mean params?"),
        ("FedAvg", {f"{SCHEDULE}.params.ratio": 1}, f"{SCHEDULE}.params.ratio: unknown key; did you mean c_ratio?"),
        ("FedAvg", {"global.iid": {"betta": 1}}, "global.iid.betta: unknown key; valid: customize, data, label"),
        ("FedAvg", {"global.iid": {"beta": 1, "data": {}}}, "global.iid.data: unknown key"),
        ("FedAvg", {"global.stale": {"step": 1, "lst": []}}, "global.stale.lst: unknown key; did you mean list?"),
        ("FedAvg", {f"{UPDATER}.update.params": {"a": 1}}, f"{UPDATER}.update.params.a: takes no such key"),
        (
            "FedAsync",
            {f"{UPDATER}.update.params.beta": 1},
            f"{UPDATER}.update.params.beta: unknown key; valid: a, alpha, b, r",
        ),
        ("FedLC", {"client.loss.params.tow": 1}, "client.loss.params.tow: unknown key; valid: tau"),
        # what is required
        ("FedAvg", {"server.epochs": None}, "server.epochs: required, but missing; it should be a whole number"),
        ("FedAvg", {"client.optimizer": None}, "client.optimizer.params.lr: required, but missing"),
        ("FedAvg", {"client.batch_size": None}, "client.batch_size: required, but missing"),
        ("FedAvg", {"client.path": None}, "client.path: required, but missing"),
        ("FedAvg", {"global": None}, "global.dataset.path: required, but missing"),
        ("FedAvg", {"global.iid": None}, "global.iid: required, but missing"),
        ("FedAvg", {"global.client_num": None}, "global.client_num: required, but missing"),
        ("FedAvg", {"server.model": None}, "server.model.path: required, but missing"),
        ("FedAvg", {f"{UPDATER}.update": None}, f"{UPDATER}.update.path: required, but missing"),
        (
            "FedAvg",
            {f"{UPDATER}.path": None, f"{SCHEDULER}.path": None},
            f"{UPDATER}.path: required, but missing; valid:",
        ),
        ("FedAvg", {f"{SCHEDULE}.params": {}}, f"{SCHEDULE}.params.c_ratio: required, but missing"),
        ("FedAvg", {"global.iid": {"customize": True, "data": {}}}, "global.iid.label: required, but missing"),
        ("FedDL", {"client.alpha": None}, "client.alpha: required, but missing"),
        ("FedAvg-local-test", {"client.test_size": None}, "client.test_size: required, but missing"),
        ("FedAdam", {f"{UPDATER}.optimizer.params": {}}, f"{UPDATER}.optimizer.params.lr: required, but missing"),
        ("FedAT", {"group_manager.group_method.params": {}}, "group_manager.group_method.params.step: required"),
        (
            "FedAvg",
            {"global.dataset.path": "dataset.EMNIST.EMNIST"},
            "global.dataset.params.split: required, but missing",
        ),
        # types and limits
        ("FedAvg", {"server.epochs": 0}, "server.epochs = 0: should be a whole number greater than 0"),
        ("FedAvg", {"server.epochs": 2.5}, "server.epochs = 2.5: should be a whole number"),
        ("FedAvg", {"client.epochs": True}, "client.epochs = True: should be a whole number"),
        ("FedAvg", {"client.optimizer.params.lr": "0.1"}, "client.optimizer.params.lr = '0.1': should be a number"),
        ("FedAvg", {"client.mu": -1}, "client.mu = -1: should be a number, 0 or greater"),
        ("FedAvg", {"global.seed": -1}, "global.seed = -1: should be a whole number from 0"),
        ("FedAvg", {"global.client_num": {"all": 3}}, "global.client_num.all: unknown key; valid: all_clients"),
        ("FedAvg", {"global.client_num": "ten"}, "global.client_num = 'ten': should be a whole number"),
        ("FedAvg", {"global.iid": "yes"}, "global.iid = 'yes': should be true, false"),
        ("FedAvg", {"global.iid": {"beta": 0}}, "global.iid.beta = 0: should be a number greater than 0"),
        ("FedAvg", {"global.stale": "slow"}, "global.stale = 'slow': should be false, a list"),
        ("FedAvg", {"global.stale": [1, 2]}, "global.stale: has 2 delays, but global.client_num = 50"),
        (
            "FedAvg",
            {"global.stale.list": [1, 2]},
            "global.stale.list = [1, 2]: adds up to 3 clients, but global.client_num = 50",
        ),
        (
            "FedAvg",
            {"global.stale": {"path": "json.load", "params": {"a": 1}}},
            "global.stale.params = {'a': 1}: should be empty",
        ),
        (
            "FedAvg",
            {"client.params": {"strangler": 1}},
            "client.params.strangler: unknown key; did you mean straggler?",
        ),
        ("FedAvg", {"client.loss": {"type": "fn", "path": "json.load"}}, "client.loss.type = 'fn': should be \"func\""),
        ("FedLC", {"client.loss.type": 1}, 'client.loss.type = 1: should be "func" or "class"'),
        ("FedLC", {"client.loss": "loss.FedLC.FLC"}, "client.loss = 'loss.FedLC.FLC': there is no module 'loss' here"),
        # numbers that do not add up to the clients, and other parts of a distribution
        (
            "FedProx",
            {"global.iid": {"customize": {"label": {"step": 1, "list": [2, 2]}}}},
            "global.iid.customize.label.list = [2, 2]: adds up to 4 clients, but global.client_num = 10",
        ),
        (
            "FedProx",
            {"global.iid": {"label": {"list": [1, 2], "shuffle": True}}},
            "global.iid.label.list: has 2 numbers of labels, but global.client_num = 10",
        ),
        (
            "FedProx",
            {"global.iid": {"label": [1, 2]}},
            "global.iid.label: has 2 numbers of labels, but global.client_n",
        ),
        (
            "FedProx",
            {"global.iid": {"label": {"0": [1]}}},
            "global.iid.label: has 1 of the clients, but global.client_n",
        ),
        (
            "FedProx",
            {"global.iid": {"label": {"10": [1]}}},
            "global.iid.label.10 = [1]: no client, as global.client_num = 10: they are 0 to 9",
        ),
        (
            "FedProx",
            {"global.iid": {"label": {"list": [-1]}}},
            "global.iid.label.list = [-1]: should be a list of whole",
        ),
        (
            "FedProx",
            {"global.iid": {"label": {"step": 0, "list": [10]}}},
            "global.iid.label.step = 0: should be a whole",
        ),
        ("FedProx", {"global.iid": {"label": {"lits": 1, "step": 1}}}, "global.iid.label.lits: unknown key; did you"),
        (
            "FedProx",
            {"global.iid": {"data": [1, 2]}},
            "global.iid.data: has 2 numbers of samples, but global.client_num",
        ),
        (
            "FedProx",
            {"global.iid": {"customize": {"data": {"min": 3, "max": 2}}}},
            "global.iid.customize.data.min = 3: must not be larger than global.iid.customize.data.max = 2",
        ),
        ("FedAvg", {"global.dataset": "MNIST"}, "global.dataset = 'MNIST': should be an object"),
        ("FedAvg", {"global.mode": ["sync"]}, "global.mode = ['sync']: valid: sync, async, semi, process, thread"),
        ("FedAvg", {"client": []}, "client = []: should be an object"),
        (
            "FedAvg",
            {f"{SCHEDULE}.params.c_ratio": 2},
            f"{SCHEDULE}.params.c_ratio = 2: should be a number greater than 0, at most 1",
        ),
        (
            "FedAsync",
            {f"{SCHEDULER}.schedule_interval": 0},
            f"{SCHEDULER}.schedule_interval = 0: should be a whole number",
        ),
        ("FedAsync", {f"{UPDATER}.num_generator": 0}, f"{UPDATER}.num_generator = 0: should be a whole number"),
        (
            "FedAsync",
            {f"{UPDATER}.update.params.alpha": "1"},
            f"{UPDATER}.update.params.alpha = '1': should be a number",
        ),
        ("FedAvg-local-test", {"client.test_size": 0}, "client.test_size = 0: should be a number greater than 0"),
        ("FedAvg", {"wandb.enabled": "no"}, "wandb.enabled = 'no': should be true or false"),
        ("FedAvg", {"client.batch_size": float("inf")}, "client.batch_size = inf: should be a finite number"),
        ("FedAvg", {"global.experiment": "\ud800"}, "global.experiment = '\\ud800': is no valid text"),
        ("FedProx", {"global.stale": [[None]]}, "global.stale: null has no meaning in a list"),
        (
            "FedAvg",
            {"global.dataset": {"path": "dataset.EMNIST.EMNIST", "params": {"split": "all"}}},
            "global.dataset.params.split = 'all': valid: byclass",
        ),
        # classes nobody has
        (
            "FedAvg",
            {f"{UPDATER}.update.path": "update.Foo.Foo"},
            f"{UPDATER}.update.path = 'update.Foo.Foo': there is no module 'update' here or",
        ),
        ("FedAvg", {f"{UPDATER}.update.path": "update.FedAvgg.FedAvgg"}, "nearest: update.FedAvg.FedAvg, "),
        ("FedAvg", {"client.model.path": "Net"}, "client.model.path = 'Net': no class path; valid: model.CNN.CNN"),
        (
            "FedAvg",
            {"client.path": "client.FLEClient.FLEClient"},
            "client.path = 'client.FLEClient.FLEClient': there is no module 'client' here or beside the file; near",
        ),
        (
            "FedAvg",
            {f"{SCHEDULER}.path": "scheduler.KLDSyncScheduler.KLDSyncScheduler"},
            f"{SCHEDULER}.path = 'scheduler.KLDSyncScheduler.KLDSyncScheduler': unknown; nearest: ",
        ),
        (
            "FedAvg",
            {"server.path": "my.Server"},
            "server.path = 'my.Server': unknown; valid: server.NormalServer.NormalServer, server.SyncServer",
        ),
        (
            "FedAvg",
            {f"{UPDATER}.path": "my.Updater"},
            f"{UPDATER}.path = 'my.Updater': unknown; valid: updater.SyncUpdater",
        ),
        (
            "FedAvg",
            {"queue_manager.path": "my.Queue"},
            "queue_manager.path = 'my.Queue': unknown; valid: queuemanager.Single",
        ),
        (
            "FedAvg",
            {"queue_manager.receiver.path": "my.Receiver"},
            "queue_manager.receiver.path = 'my.Receiver': unknown; valid:",
        ),
        (
            "FedAsync",
            {"queue_manager.checker.path": "my.Checker"},
            "queue_manager.checker.path = 'my.Checker': unknown; valid:",
        ),
        ("FedAT", {"group_manager.path": "my.Groups"}, "group_manager.path = 'my.Groups': unknown; valid:"),
        ("FedAvg", {"client_manager.path": "my.Clients"}, "client_manager.path = 'my.Clients': unknown; valid:"),
        (
            "FedAsync",
            {f"{UPDATER}.num_generator": {"path": "no.Such"}},
            "there is no module 'no' here or beside the file; name one of yours",
        ),
        (
            "FedBN",
            {"global.dataset.path": "json.load"},
            "server.model.params.num_classes: required, as global.dataset.path = 'json.load' does not say",
        ),
        # contradictions
        ("FedAvg", {"client.model.path": "model.LeNet5.LeNet5"}, "client.model.path differs from server.model.path"),
        (
            "FedAvg",
            {"server.path": "server.AsyncServer.AsyncServer"},
            f"{UPDATER}.path = 'updater.SyncUpdater.SyncUpdater' is synchronous, but server.path = 'server.Async",
        ),
        (
            "FedAvg",
            {f"{SCHEDULER}.path": "scheduler.SemiAsyncScheduler.SemiAsyncScheduler"},
            f"but {SCHEDULER}.path = 'scheduler.SemiAsyncScheduler.SemiAsyncScheduler' is semi-asynchronous",
        ),
        ("FedAvg", {"global.mode": "async"}, "but global.mode = 'async' is asynchronous"),
        (
            "FedAvg",
            {"client.path": "client.ActiveClient.ActiveClient"},
            "but client.path = 'client.ActiveClient.ActiveClient' is asynchronous",
        ),
        (
            "FedAvg",
            {f"{SCHEDULE}.path": "schedule.NoSchedule.NoSchedule"},
            f"but {SCHEDULE}.path = 'schedule.NoSchedule.NoSchedule' is asynchronous",
        ),
        (
            "FedAsync",
            {"client.path": "client.NovaClient.NovaClient"},
            f"client.path = 'client.NovaClient.NovaClient' and {UPDATER}.update.path = 'update.FedAsync.FedAsync'",
        ),
        (
            "FedAsync",
            {f"{UPDATER}.optimizer": {"path": "torch.optim.Adam", "params": {"lr": 1}}},
            f"{UPDATER}.optimizer and {UPDATER}.update.path = 'update.FedAsync.FedAsync'",
        ),
        (
            "FedAT",
            {f"{UPDATER}.update": {"path": "update.TWAFL.TWAFL"}},
            f"{UPDATER}.update.path = 'update.TWAFL.TWAFL' and {UPDATER}.group.path = 'update.FedAT.FedAT': two rules",
        ),
        (
            "FedProx",
            {f"{UPDATER}.update": {"path": "json.Mine", "params": {"mu": 1}}},
            f"{UPDATER}.update.path = 'json.Mine': mu belongs to two algorithms",
        ),
        # older spellings
        (
            "older",
            {"server.updater.update_file": "MyFed"},
            "server.updater.update_file = 'MyFed': there is no module 'update'",
        ),
        ("older", {"client.optimizer.lr": 0}, "client.optimizer.lr = 0: should be a number greater than 0"),
        ("older", {"client.optimizer.lr": None}, "client.optimizer.lr: required, but missing"),
        ("older", {"server.scheduler.params.c_ratio": 0}, "server.scheduler.params.c_ratio = 0: should be"),
        ("older", {"server.scheduler.scheduler_interval": 0}, "server.scheduler.scheduler_interval = 0: should be"),
        ("older", {"server.updater.params.c": 1}, "server.updater.params.c: unknown key"),
        (
            "older",
            {"client_manager.client_file": "MyClient"},
            "client_manager.client_file = 'MyClient': there is no module",
        ),
        ("older", {"global.mode": "timely"}, "global.mode = 'timely': valid: sync, async, semi"),
    ],
)
def test_mistake(name, changes, said):
    assert said in complaint(sample(name, **changes))


def keys(table, above=""):
    """Every dotted key."""
    for name, value in table.items():
        yield f"{above}{name}"
        if isinstance(value, dict):
            yield from keys(value, f"{above}{name}.")


@pytest.mark.parametrize("name", ["FedAsync-one-update", "FedAT", "FedBN", "older-sync"])
@pytest.mark.parametrize("value", [True, -1, "x", "json.load", [[1]], {}, {"path": 3}, {"path": "json.load"}])
def test_whatever_stands_at_a_key_ends_in_a_job_or_in_one_message(name, value):
    for key in keys(sample(name)):
        table = sample(name, **{key: value})
        try:
            job, notes, _ = convert(table)
        except JobError as failure:
            assert "\n" not in str(failure)
        else:
            assert tomllib.loads(document(job, notes)) == job


@pytest.mark.parametrize("given", [[], "x", 3, None])
def test_a_file_that_is_no_object(given):
    assert complaint(given) == f"should be an object with Async-FL's sections, not {given!r}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"global": {\n  "seed": 1,\n}}', "not valid JSON: Expecting property name enclosed in double quotes"),
        ("", "not valid JSON: Expecting value (line 1, column 1)"),
        ("[" * 100_000, "not valid JSON: maximum recursion depth"),
        ('{"wandb": ' + "9" * 5000 + "}", "not valid JSON: Exceeds the limit"),
        ('{"rounds": 1}', "rounds: unknown key; valid: client, client_manager"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path, text, said):
    path = tmp_path / "job.json"
    path.write_text(text, "utf-8")
    with pytest.raises(JobError) as caught:
        read(str(path))
    assert str(caught.value).startswith(f"{path}: {said}")


def test_a_byte_order_mark_is_no_mistake(tmp_path):
    path = tmp_path / "job.json"
    path.write_text("\ufeff" + json.dumps(sample("FedAvg")), "utf-8")
    assert read(str(path)).spec.seed == 1


def test_a_key_given_twice(tmp_path):
    path = tmp_path / "job.json"
    path.write_text(json.dumps(sample("FedAvg")).replace('"seed": 1', '"seed": 1, "seed": 2'), "utf-8")
    with pytest.raises(JobError) as caught:
        read(str(path))
    assert str(caught.value) == f"{path}: seed: given twice in one object, 1 and 2; leave one of them out"


CUSTOMIZED = "global.iid.customize"


@pytest.mark.parametrize(
    ("label", "data", "overrides", "said"),
    [
        (
            {"0": [1, 12], "1": [2], "2": [3]},
            {},
            [],
            "partition.labels.0 = [1, 12]: must be some of the labels that training samples have, 0 to 9, each once"
            f" ({CUSTOMIZED}.label in FILE)",
        ),
        (
            {"list": [1, 11, 2]},
            {},
            [],
            "partition.labels.list = [1, 11, 2]: gives a client 11 labels; valid are 1 to 10, as many as there are"
            f" ({CUSTOMIZED}.label in FILE)",
        ),
        (
            {"list": [1, 1, 1]},
            [900, 900, 900],
            [],
            f"leave partition.amounts out to share what there is ({CUSTOMIZED}.data in FILE)",
        ),
        ({}, [1, 0, 1], [], f"partition.amounts[1] = 0: must be from 1 to 1,000,000,000 ({CUSTOMIZED}.data in FILE)"),
        ({}, [1, 1, 1], ["partition.amounts=[0, 1, 1]"], "partition.amounts[0] = 0: must be from 1 to 1,000,000,000"),
        ({}, [1, 1, 1], ['partition={name="iid",amounts=[0,1]}'], "give one number of samples each"),
    ],
)
def test_what_only_the_data_shows_names_the_files_key_too(tmp_path, label, data, overrides, said):
    path = tmp_path / "job.json"
    iid = {"customize": {"label": label, "data": data}}
    changes = {"global.iid": iid, "global.client_num": 3, "global.stale": False}
    path.write_text(json.dumps(sample("FedAvg", **changes)), "utf-8")
    for command in ("plan", "validate"):
        words = [word for override in ("data.name=digits", *overrides) for word in ("--set", override)]
        done = CliRunner().invoke(cli, [command, str(path), *words])
        assert isinstance(done.exception, JobError)
        assert str(done.exception).endswith(said.replace("FILE", str(path)))


def test_the_key_is_named_as_an_older_file_spells_it(tmp_path):
    path = tmp_path / "job.json"
    path.write_text(json.dumps(sample("older", **{"global.data_file": "Foo", "global.data_name": "foo"})), "utf-8")
    (tmp_path / "dataset").mkdir()
    done = CliRunner().invoke(cli, ["plan", str(path)])
    assert str(done.exception).startswith("data.name = 'dataset.Foo.foo': ")
    assert str(done.exception).endswith(f" (global.data_file in {path})")


def test_the_name_is_the_files_where_no_experiment_has_one(tmp_path):
    path = tmp_path / "my job.json"
    path.write_text(json.dumps(sample("FedAvg", **{"global.experiment": "//"})), "utf-8")
    assert read(str(path)).spec.name == "my-job"


def test_after_the_conversion_keys_are_native():
    with pytest.raises(JobError, match=r"client\.epoch: unknown key; did you mean epochs"):
        read(str(FOLDER / "FedAvg.json"), ["client.epoch=3"])


def test_convert_takes_json_only():
    done = CliRunner().invoke(cli, ["convert", "job.toml"])
    assert done.exit_code == 2
    assert "job.toml: should be one of Async-FL's JSON files" in done.output
