"""The class paths that Async-FL's files know, and what each stands for here: literal tables."""

PACE = {
    "Sync": "synchronous",
    "Personal": "synchronous",
    "Async": "buffered",
    "ActiveAsync": "pulled",
    "SemiAsync": "tiered",
    "Group": "tiered",
}
"""How the names of servers, updaters and schedulers begin -> schedule; "pulled" is buffered, and clients pull."""

SERVERS = {
    "server.NormalServer.NormalServer": None,
    **{f"server.{kind}Server.{kind}Server": pace for kind, pace in PACE.items()},
    "fedasync.AsyncServer.AsyncServer": "buffered",
    "fedsync.SyncServer.SyncServer": "synchronous",
    "fedsemi.SemiAsyncServer.SemiAsyncServer": "tiered",
}
UPDATERS = {
    **{f"updater.{kind}Updater.{kind}Updater": pace for kind, pace in PACE.items()},
    "fedasync.UpdaterThread.UpdaterThread": "buffered",
    "fedsync.UpdaterThread.UpdaterThread": "synchronous",
    "fedsemi.UpdaterThread.UpdaterThread": "tiered",
}
ONE_UPDATE = "scheduler.AsyncScheduler.AsyncSchedulerWithOneUpdate"
"""Schedules again whoever has uploaded."""
WITH_UPDATE = "scheduler.AsyncScheduler.AsyncSchedulerWithUpdate"
"""Counts its interval in updates, not in server steps."""
SCHEDULERS = {
    **{f"scheduler.{kind}Scheduler.{kind}Scheduler": pace for kind, pace in PACE.items()},
    "scheduler.ScaffoldScheduler.ScaffoldScheduler": "synchronous",
    ONE_UPDATE: "buffered",
    WITH_UPDATE: "buffered",
    "fedasync.SchedulerThread.SchedulerThread": "buffered",
    "fedsync.SchedulerThread.SchedulerThread": "synchronous",
    "fedsemi.SchedulerThread.SchedulerThread": "tiered",
}
MODES = {"sync": "synchronous", "async": "buffered", "semi": "tiered", "process": None, "thread": None}

SCHEDULES = {
    "schedule.RandomSchedule.RandomSchedule": "random",
    "schedule.FullSchedule.FullSchedule": "full",
    "schedule.RoundRobin.RoundRobin": "round_robin",
    "schedule.NoSchedule.NoSchedule": "no",
}
CHECKERS = {
    "checker.AllChecker.AllChecker": "all",
    "checker.SyncChecker.SyncChecker": "current",
    "checker.AvgChecker.AvgChecker": "current",
    "checker.SemiAvgChecker.SemiAvgChecker": "current",
    "fedasync.checker.AllChecker.AllChecker": "all",
    "fedsync.checker.AvgChecker.AvgChecker": "current",
    "fedsemi.checker.SemiAvgChecker.SemiAvgChecker": "current",
}
RECEIVERS = dict.fromkeys(
    (
        "receiver.NormalReceiver.NormalReceiver",
        "receiver.MultiQueueReceiver.MultiQueueReceiver",
        "receiver.NoneReceiver.NoneReceiver",
        "receiver.TimeSliceReceiverWrapper.TimeSliceReceiverWrapper",
        "receiver.AvgReceiver.AvgReceiver",
        "fedsync.receiver.AvgReceiver.AvgReceiver",
        "fedsemi.receiver.SemiAvgReceiver.SemiAvgReceiver",
    )
)
"""When a step is due follows from the schedule: no receiver needs a setting."""
QUEUE_MANAGERS = dict.fromkeys(
    (
        "queuemanager.SingleQueueManager.SingleQueueManager",
        "queuemanager.QueueListManager.QueueListManager",
        "fedsync.QueueManager.QueueManager",
        "fedsemi.QueueManager.QueueManager",
    )
)
GROUP_MANAGERS = dict.fromkeys(("groupmanager.NormalGroupManager.NormalGroupManager",))
CLIENT_MANAGERS = dict.fromkeys(
    (
        "clientmanager.NormalClientManager.NormalClientManager",
        "clientmanager.PersonalizedClientManager.PersonalizedClientManager",
        "clientmanager.TimeSliceClientManager.TimeSliceClientManager",
        "fedasync.AsyncClientManager.AsyncClientManager",
        "fedsync.SyncClientManager.SyncClientManager",
        "fedsemi.SemiAsyncClientManager.SemiAsyncClientManager",
    )
)
GROUPS = {"group.DelayGroup.DelayGroup": "delay", "group.OneGroup.OneGroup": "one"}

CLIENTS = {
    "client.NormalClient.NormalClient": None,
    "client.SemiClient.SemiClient": None,
    "client.ActiveClient.ActiveClient": None,
    "client.TestClient.TestClient": None,
    "client.SemiTestClient.SemiTestClient": None,
    "client.AsyncClient.AsyncClient": None,
    "client.SyncClient.SyncClient": None,
    "client.ProxClient.ProxClient": "fedprox",
    "client.BNClient.BNClient": "fedbn",
    "client.DLClient.DLClient": "feddl",
    "client.NovaClient.NovaClient": "fednova",
    "client.ScaffoldClient.ScaffoldClient": "scaffold",
    "client.TWAFLClient.TWAFLClient": "twafl",
}
"""Client -> the algorithm it belongs to."""
ACTIVE = "client.ActiveClient.ActiveClient"
PROX = "client.ProxClient.ProxClient"
TESTING = ("client.TestClient.TestClient", "client.SemiTestClient.SemiTestClient", "client.DLClient.DLClient")
"""Clients that hold samples out and test on them; the others train on all they have, whatever test_size says."""

UPDATES = {
    "update.FedAvg.FedAvg": "fedavg",
    "update.FedAsync.FedAsync": "fedasync",
    "update.FedAT.FedAT": "fedat",
    "update.FedDL.FedDL": "feddl",
    "update.FedNova.FedNova": "fednova",
    "update.Scaffold.Scaffold": "scaffold",
    "update.StepAsyncAvg.StepAsyncAvg": "stepasync",
    "update.TWAFL.TWAFL": "twafl",
}
UPDATE_PARAMS = {
    "fedavg": {},
    "fedasync": {"alpha": "alpha", "r": "r", "a": "a", "b": "b"},
    "fedat": {},
    "feddl": {"n_clusters": "n_clusters"},
    "fedlc": {"tau": "tau"},
    "fednova": {},
    "scaffold": {"lr": "eta_g"},
    "stepasync": {"alpha": "alpha", "rho": "rho"},
    "twafl": {"loop": "loop", "deep_rounds": "deep_rounds", "deep": "deep"},
}
"""Algorithm -> its parameters in Async-FL, and what they are called here."""

MODELS = {
    "model.CNN.CNN": "cnn",
    "model.LeNet5.LeNet5": "lenet5",
    "model.ResNet.ResNet18": "torchvision.models.resnet18",
}
DATASETS = {
    "dataset.MNIST.MNIST": "mnist",
    "dataset.FashionMNIST.FashionMNIST": "fashion_mnist",
    "dataset.CIFAR10.CIFAR10": "cifar10",
    "dataset.CIFAR100.CIFAR100": "cifar100",
    "dataset.EMNIST.EMNIST": "emnist",
    "dataset.SVHN.SVHN": "svhn",
    "dataset.UCIHAR.UCIHAR": "uci_har",
    "dataset.PAMAP2.PAMAP2": "pamap2",
}
CLASSES = {
    "mnist": 10,
    "fashion_mnist": 10,
    "cifar10": 10,
    "cifar100": 100,
    "svhn": 10,
    "uci_har": 6,
    "pamap2": 12,
}
EMNIST_CLASSES = {"byclass": 62, "bymerge": 47, "balanced": 47, "letters": 26, "digits": 10, "mnist": 10}

LOSSES = {
    "torch.nn.functional.cross_entropy": "cross_entropy",
    "torch.nn.CrossEntropyLoss": "cross_entropy",
    "loss.FedLC.FedLC": "fedlc",
}
OPTIMIZERS = {"torch.optim.SGD": "sgd", "torch.optim.Adam": "adam", "torch.optim.AdamW": "adamw"}
LR_SCHEDULES = {
    "torch.optim.lr_scheduler.StepLR": "step",
    "torch.optim.lr_scheduler.MultiStepLR": "multistep",
    "torch.optim.lr_scheduler.ExponentialLR": "exponential",
    "torch.optim.lr_scheduler.CosineAnnealingLR": "cosine",
}
TRANSFORMS = {
    "transforms.Transforms.TransformForCIFARFactory": "crop_flip",
    "transforms.Transforms.TransformForCIFARFactory.createTransform": "crop_flip",
    "transforms.Transforms.createTransform": "crop_flip",
}

COMPONENT = ("path", "params")
KEYS = {
    "": ("wandb", "global", "server", "client_manager", "group_manager", "queue_manager", "client"),
    "wandb": ("enabled", "project", "name", "params"),
    "global": (
        "mode", "dataset_pre_load", "use_file_system", "multi_gpu", "experiment", "seed", "stale", "dataset", "iid",
        "client_num", "save",
    ),
    "global.mode": COMPONENT,
    "global.dataset": COMPONENT,
    "global.client_num": ("all_clients",),
    "server": ("path", "epochs", "model", "scheduler", "updater"),
    "server.model": COMPONENT,
    "server.scheduler": ("path", "schedule_interval", "schedule_delay", "schedule", "other"),
    "server.scheduler.schedule": COMPONENT,
    "server.updater": ("path", "update", "loss", "num_generator", "optimizer", "group", "params"),
    "server.updater.update": COMPONENT,
    "server.updater.group": COMPONENT,
    "server.updater.optimizer": COMPONENT,
    "server.updater.num_generator": COMPONENT,
    "server.updater.loss": ("type", *COMPONENT),
    "client_manager": ("path",),
    "group_manager": ("path", "group_method"),
    "group_manager.group_method": COMPONENT,
    "queue_manager": ("path", "receiver", "checker"),
    "queue_manager.receiver": COMPONENT,
    "queue_manager.checker": COMPONENT,
    "client": (
        "path", "epochs", "batch_size", "test_size", "test_batch_size", "test_every", "alpha", "acquire_model_delay",
        "model", "loss", "transform", "mu", "optimizer", "scheduler", "params",
    ),
    "client.model": COMPONENT,
    "client.loss": ("type", *COMPONENT),
    "client.transform": COMPONENT,
    "client.optimizer": COMPONENT,
    "client.scheduler": COMPONENT,
}  # fmt: skip
"""Section -> its keys."""

SPOKEN = {
    "rounds": "server.epochs",
    "seed": "global.seed",
    "data": "global.dataset",
    "data.transform": "client.transform",
    "partition": "global.iid",
    "partition.clients": "global.client_num",
    "model": "client.model",
    "client.epochs": "client.epochs",
    "client.batch_size": "client.batch_size",
    "client.test_size": "client.test_size",
    "client.lr": "client.optimizer.params.lr",
    "client.lr_schedule": "client.scheduler",
    "client.optimizer": "client.optimizer",
    "client.loss": "client.loss",
    "client.device.stale": "global.stale",
    "strategy": "server.updater.update",
    "strategy.optimizer": "server.updater.optimizer",
    "schedule": "server.scheduler.schedule",
    "schedule.c_ratio": "server.scheduler.schedule.params.c_ratio",
    "schedule.num_generator": "server.updater.num_generator",
    "schedule.schedule_interval": "server.scheduler.schedule_interval",
    "schedule.group": "group_manager.group_method",
    "server.test_batch_size": "client.test_batch_size",
    "tracking.wandb": "wandb",
}
"""Key of a job -> the one of Async-FL that says it."""
