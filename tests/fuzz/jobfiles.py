"""Jobs drawn from the schema: valid ones that are quick, and what can be wrong with them."""

import json
from importlib.util import find_spec

import tomli_w
from hypothesis import strategies as st

SHARES = st.sampled_from([0.3, 0.5, 1.0])
NUMBER = st.sampled_from([0.01, 0.1, 0.5, 1.0])
LEVEL = st.sampled_from([0.0, 0.1, 1.0])
SMALL = st.integers(1, 3)

STRATEGIES = {
    "fedavg": {}, "fedprox": {"mu": LEVEL}, "fednova": {}, "scaffold": {"eta_g": NUMBER}, "fedlc": {"tau": LEVEL},
    "fedavgm": {"beta": st.sampled_from([0.0, 0.9]), "lr": NUMBER}, "fedadam": {"lr": NUMBER, "adaptivity": NUMBER},
    "fedyogi": {"lr": NUMBER}, "fedadagrad": {"lr": NUMBER},
    "fedopt": {"optimizer": st.sampled_from([{"name": "sgd", "lr": 1.0}, {"name": "torch.optim.Adam", "lr": 0.01}])},
    "qffl": {"q": LEVEL}, "afl": {"eta": LEVEL}, "fedbn": {}, "fedper": {"head": st.integers(0, 1)},
    "fedrep": {"head": st.integers(0, 1), "head_epochs": st.integers(0, 2)}, "ditto": {"lam": LEVEL},
    "fedavgplus": {"tune_epochs": st.integers(0, 2)}, "pfedme": {"lam": NUMBER, "eta": NUMBER, "local_rounds": SMALL},
    "apfl": {"alpha": SHARES, "alpha_rate": LEVEL}, "l2sgd": {"p": st.sampled_from([0.0, 0.5])},
    "standalone": {}, "fedem": {"n_learners": SMALL, "tune_locally": st.booleans()},
    "fedprox+fedadam": {"mu": LEVEL, "lr": NUMBER}, "fedmedian": {},
    "trimmed_mean": {"beta": st.sampled_from([0.0, 0.4])}, "krum": {}, "multi_krum": {"keep": st.integers(0, 1)},
    "bulyan": {},
}  # fmt: skip
"""Algorithms that take any schedule and any share of the clients."""
WHOLE = {
    "feddl": {"n_clusters": SMALL, "alpha": LEVEL}, "cfl": {"tol_1": LEVEL}, "centralized": {},
    "dfedavg": {"topology": st.sampled_from(["ring", "complete", "erdos_renyi"]), "p": SHARES},
    "twafl": {"loop": SMALL, "deep_rounds": st.integers(0, 2)},
    "dfedem": {"n_learners": SMALL, "topology": st.sampled_from(["ring", "complete", "erdos_renyi"])},
}  # fmt: skip
"""Those that want all clients, in rounds."""
AHEAD = {
    "fedasync": {"alpha": SHARES, "staleness": st.sampled_from(["constant", "hinge", "polynomial"])},
    "fedbuff": {"eta_g": NUMBER}, "stepasync": {"alpha": SHARES, "rho": LEVEL}, "fedat": {"mu": LEVEL},
}  # fmt: skip
"""Those of asynchronous schedules."""
SPLIT = {"max_common": {}, "basic_common": {}, "clustered_common": {}, "clustered_fl": {}}
"""Those of clients with different models."""
FLOWER = {"cast.Mean": {}, "cast.Summed": {}, "cast.Yields": {}} | (
    {
        "flwr.server.strategy.FedAvg": {"fraction_fit": SHARES, "fraction_evaluate": SHARES},
        "flwr.server.strategy.FedProx": {"proximal_mu": LEVEL}, "flwr.server.strategy.FedMedian": {},
        "flwr.server.strategy.FedTrimmedAvg": {"beta": st.sampled_from([0.0, 0.25])},
        "flwr.server.strategy.FedAvgM": {"server_momentum": LEVEL},
        "flwr.serverapp.strategy.FedAvg": {"fraction_train": SHARES, "fraction_evaluate": SHARES},
        "flwr.serverapp.strategy.FedProx": {"proximal_mu": LEVEL}, "flwr.serverapp.strategy.Krum": {},
    }
    if find_spec("flwr")
    else {}
)  # fmt: skip
"""Those with Flower's methods; `cast` is a module of the tests."""
MEANS = ("fedavg", "fedprox", "fedlc", "fedavgm", "fedadam", "fedyogi", "fedadagrad", "fedprox+fedadam")
"""Those whose mean of models can be protected."""
ROBUST = ("fedmedian", "trimmed_mean", "krum", "multi_krum", "bulyan")
LAYERED = ("twafl", "fedper", "fedrep")
"""They need more than one layer."""
SYNCHRONOUS = st.fixed_dictionaries(
    {"name": st.just("synchronous")},
    optional={
        "c_ratio": SHARES,
        "choose": st.sampled_from(["random", "round_robin"]),
        "deadline": st.sampled_from([0.5, 9.0]),
    },
)
BUFFERED = st.fixed_dictionaries(
    {"name": st.just("buffered"), "num_generator": st.integers(1, 2)}
) | st.fixed_dictionaries({"name": st.just("buffered"), "c_ratio": SHARES})
FLIGHT = st.fixed_dictionaries({"name": st.just("buffered"), "in_flight": st.integers(1, 4)})
TIERED = st.fixed_dictionaries(
    {"name": st.just("tiered")},
    optional={
        "c_ratio": SHARES,
        "group": st.sampled_from([{"name": "latency", "tiers": 2}, {"name": "delay", "step": 1.0}, "one"]),
    },
)
PARTITIONS = st.one_of(
    st.just({"name": "iid"}),
    st.fixed_dictionaries({"name": st.just("dirichlet"), "beta": st.sampled_from([0.1, 1.0, 100.0])}),
    st.fixed_dictionaries({"name": st.just("shards"), "shards_per_client": st.integers(1, 3)}),
    st.fixed_dictionaries({"name": st.just("cluster_dirichlet"), "beta": st.sampled_from([0.5, 5.0])}),
)
OPTIMIZERS = st.sampled_from([
    {"name": "sgd"}, {"name": "sgd", "momentum": 0.9}, {"name": "adam"}, {"name": "torch.optim.RMSprop", "alpha": 0.9},
    {"name": "sgd", "momentum": 0.5, "nesterov": True, "weight_decay": 0.01},
])  # fmt: skip
MODELS = st.sampled_from([
    {"name": "mlp", "hidden": [3]}, {"name": "mlp", "hidden": []}, {"name": "cnn", "channels": [2, 2], "hidden": 4},
    {"name": "mlp", "hidden": [4, 3], "init": "xavier"},
])  # fmt: skip
CLIENT = {
    "epochs": st.integers(1, 2) | st.just([1, 2]), "lr": NUMBER, "shuffle": st.booleans(), "optimizer": OPTIMIZERS,
    "test_size": st.sampled_from([0.0, 0.3]), "slices": st.integers(1, 2),
    "out_of_memory": st.sampled_from(["fail", "split"]),
    "lr_schedule": st.sampled_from(["cosine", {"name": "step", "step_size": 1}, {"name": "exponential", "gamma": 0.9}]),
}  # fmt: skip
DEVICE = {
    "seconds_per_step": NUMBER, "speed": st.sampled_from([{"name": "lognormal", "sigma": 0.5}]),
    "download_bandwidth": st.sampled_from([1e3, 1e6]), "upload_bandwidth": st.sampled_from([1e3, 1e6]),
    "dropout": st.sampled_from([0.0, 0.2]),
    "stale": st.sampled_from([False, {"step": 2.0, "shuffle": True, "list": [2, 1, 1]}]),
    "availability": st.sampled_from([{"period": 20.0, "share": 0.5}]),
}  # fmt: skip
FAULTS = {
    "drop": st.sampled_from([0.0, 0.2]), "corrupt": st.sampled_from([0.0, 0.5, 1.0]), "byzantine": SHARES,
    "attack": st.sampled_from(["sign_flip", "label_flip", {"name": "noise", "std": 0.1},
                               {"name": "sign_flip", "scale": 9.0}]),
}  # fmt: skip
LATE = {"late": SHARES, "delay": st.sampled_from([0.5, 60.0])}
PRIVACY = {"clip": NUMBER, "noise": st.sampled_from([0.0, 0.5, 2.0]), "delta": st.sampled_from([1e-5, 0.1])}
TWO = [{"name": "mlp", "hidden": [3], "count": 3}, {"name": "mlp", "hidden": [3, 3], "count": 1}]
SYNTHETIC = {"name": "synthetic", "samples": 64, "test_samples": 12, "shape": [1, 8, 8], "classes": 3}
COMPRESSIONS = st.sampled_from(["fp16", "bf16", {"name": "qsgd", "bits": 4}, {"name": "topk", "share": 0.1}])


@st.composite
def jobs(draw):
    """A job that runs two rounds in a second."""
    sort = draw(st.sampled_from(["any"] * 4 + ["means"] * 2 + ["whole", "ahead", "ahead", "split", "flower", "flower"]))
    sort, named = ("any", MEANS + ROBUST) if sort == "means" else (sort, ())
    table = {"any": STRATEGIES, "whole": WHOLE, "ahead": AHEAD, "split": SPLIT, "flower": FLOWER}[sort]
    name = draw(st.sampled_from(named or [*table]))
    given = {key: draw(value) for key, value in table[name].items()}
    model = draw(MODELS.filter(lambda model: name not in LAYERED or model.get("hidden") != []))  # it needs deep layers
    wall = sort not in ("whole", "split") and draw(st.integers(0, 7)) == 0
    client = draw(st.fixed_dictionaries({"batch_size": st.sampled_from([4, 8])}, optional=CLIENT))
    device = draw(st.fixed_dictionaries({}, optional=DEVICE))
    partition = draw(PARTITIONS) | {"clients": 4}
    if partition["name"] != "iid":  # a client may have a single sample
        client.pop("slices", None)
    if sort in ("whole", "split") or wall:  # nobody is lost, and nobody waits
        device = {}
    schedule = draw(
        {"any": SYNCHRONOUS | BUFFERED | TIERED, "ahead": BUFFERED | FLIGHT | TIERED}.get(sort, st.just("synchronous"))
    )
    job = {
        "rounds": 2, "seed": draw(st.integers(0, 9)), "clock": "wall" if wall else "virtual", "data": SYNTHETIC,
        "partition": partition, "model": model, "client": client | {"device": device},
        "strategy": {"name": name} | given, "schedule": schedule, "device": {"kind": "cpu"},
    }  # fmt: skip
    job |= draw(st.fixed_dictionaries({}, optional={
        "reproducible": st.booleans(), "execution": st.sampled_from(["auto", "sequential"]),
        "server": st.fixed_dictionaries(
            {}, optional={"evaluate_every": st.integers(1, 3), "test_batch_size": st.integers(1, 20)}
        ),
        "results": st.just({"keep_every": 1}), "checkpoint": st.just({"every": 1}),
    }))  # fmt: skip
    if sort == "any" and name in ("fedavg", "fedprox", "fedlc", "fedbn") and draw(st.booleans()):
        job["communication"] = {"compression": draw(COMPRESSIONS)}
    if sort == "split":
        job["client"]["models"] = TWO
        del job["model"]
    if sort == "any" and name in MEANS + ROBUST and draw(st.booleans()):
        job["faults"] = draw(st.fixed_dictionaries({}, optional=FAULTS))
        job["faults"] |= draw(st.fixed_dictionaries(LATE) | st.just({}))
        job["server"] = job.get("server", {}) | draw(st.fixed_dictionaries({}, optional={"max_norm": NUMBER}))
    rounds = schedule == "synchronous" or schedule["name"] == "synchronous"
    if sort == "any" and name in MEANS and rounds and "communication" not in job and draw(st.booleans()):
        job["privacy"] = draw(st.fixed_dictionaries(PRIVACY))
    return job


def is_harsh(job) -> bool:
    """Whether so much goes wrong in it on purpose that a round may lose everybody."""
    return bool(job.get("faults")) or "max_norm" in job.get("server", {})


JUNK = st.sampled_from([
    None, True, False, 0, -1, 1, 7, 2**31, 2**63, -(2**63), 10**30, 0.5, -0.0, 1e308, float("nan"), float("inf"), "",
    "x",
    "0", "true", "nosuch", "no.such.module", "math.sqrt", "os.getcwd", "builtins.dict", "builtins.int",
    "torch.nn.Linear",
    "torch.nn.Identity", "numpy.zeros", "hpcfl.errors.JobError", "hpcfl.strategies.FedAvg", "hpcfl.rng.stream", ".",
    "..", "a.",
    "fedavg+", "+", "fedavg+fedavg", "fedprox+fedat", "\0", "é", "x" * 300, "../x", "/", [], [1], [1, 2], [0], [[1]],
    [None], ["x"], [-1, 2],
    [1e9], {}, {"name": "x"}, {"name": 1}, {"name": "mlp", "params": 1}, {"params": {}}, {"name": "iid", "x": {}},
    [{}], {"": 1},
    {"name": "fedavg", "params": {"mu": 1}, "mu": 1},
])  # fmt: skip
KEYS = st.sampled_from([
    "name", "seed", "rounds", "clock", "data", "model", "client", "clients", "partition", "strategy", "schedule",
    "params", "lr", "mu",
    "epochs", "batch_size", "hidden", "x", "é", "", "device", "results", "server", "checkpoint", "tracking",
    "communication", "cache", "stage",
    "stale", "speed", "availability", "models", "test_clients", "min_clients", "init", "transform", "path", "root",
    "threads", "group", "c_ratio", "faults", "privacy", "max_norm", "clip", "noise", "attack", "byzantine", "app",
])  # fmt: skip


def places(table, path=()):
    """Where there is something in nested tables and lists."""
    found = [path] if path else []
    items = table.items() if isinstance(table, dict) else enumerate(table) if isinstance(table, list) else ()
    for key, value in items:
        found += places(value, (*path, key))
    return found


def at(table, path):
    """What lies there."""
    for key in path:
        table = table[key]
    return table


@st.composite
def mistaken(draw, of=None):
    """A valid job with a few things wrong; of a strategy of others if one is given."""
    job = json.loads(json.dumps(draw(jobs() if of is None else of)))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(places(job)))
        above, key = at(job, path[:-1]), path[-1]
        what = draw(st.sampled_from(["junk", "junk", "delete", "add", "rename", "nest", "copy"]))
        if what == "junk":
            above[key] = draw(JUNK)
        elif what == "delete":
            del above[key]
        elif what == "nest":
            above[key] = {draw(KEYS): above[key]}
        elif what == "copy":
            above[key] = json.loads(json.dumps(at(job, draw(st.sampled_from(places(job))))))
        elif isinstance(above, dict):
            above[draw(KEYS)] = above.pop(key) if what == "rename" else draw(JUNK)
        if not job:
            return job
    return job


def written(job) -> str:
    """As TOML, which has no null."""
    return tomli_w.dumps(without_null(job))


def without_null(value):
    """Tables and lists with nothing for what is None."""
    if isinstance(value, dict):
        return {key: without_null(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [without_null(inner) for inner in value if inner is not None]
    return value
