"""What a job file may say: every key with its type, its limits and the sentence that explains it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from hpcfl.errors import JobError

Positive = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]

S = TypeVar("S", bound="Section")


class Section(BaseModel):
    """A table of the job file. Unknown keys and wrong types are errors; nothing is converted silently."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)

    @classmethod
    def parse(cls: type[S], table: dict[str, Any], source: str) -> S:
        """What `table` says; JobError lists every mistake at once, each with its key."""
        try:
            return cls.model_validate(table)
        except ValidationError as failure:
            lines = [_explain(error, cls) for error in failure.errors()]
            raise JobError(f"{source}:\n  " + "\n  ".join(dict.fromkeys(lines))) from None


class Component(Section):
    """Something replaceable: a short name or a dotted path, and what its constructor takes.

    `model = "mlp"`, `model = {name = "mlp", hidden = [64]}` and `model = {name = "mlp", params = {hidden = [64]}}`
    are three spellings of the same component.
    """

    name: str
    """A short name from the table of its kind, or the dotted path of a class or function."""
    params: dict[str, Any] = {}
    """Arguments of the component; keys beside `name` are taken as such too."""

    @model_validator(mode="before")
    @classmethod
    def _fold(cls, given: Any) -> Any:
        if isinstance(given, str):
            return {"name": given}
        if not isinstance(given, dict):
            return given
        own = {key: value for key, value in given.items() if key in cls.model_fields}
        loose = {key: value for key, value in given.items() if key not in cls.model_fields}
        params = own.get("params", {})
        if not loose or not isinstance(params, dict):
            return {**own, "params": params}
        if twice := sorted(set(loose) & set(params)):
            raise ValueError(f"{', '.join(twice)} given twice, beside params and inside it")
        return {**own, "params": {**params, **loose}}


class Data(Component):
    """Which dataset, and where it lies."""

    root: str | None = None
    """Folder that holds the datasets; without it the environment variable HPCFL_DATA."""
    download: bool = False
    """Fetch the dataset into the root if it is not there (once per node; the other ranks wait)."""
    cache: bool | Annotated[str, Field(min_length=1)] = True
    """Keep what was read from large files, for later runs and for all ranks of a node to share: true (in HPCFL_CACHE or
    ~/.cache/hpcfl), false, or a folder."""
    stage: Annotated[str, Field(min_length=1)] | None = None
    """Folder on a node's own disk to read the data from, say "$TMPDIR": one rank of each node fills it, from the cache
    or the files, before the others read."""
    transform: Component | None = None
    """Augmentation of training batches on the device, say {name = "crop_flip", padding = 4}."""


class Partition(Component):
    """How the training data is dealt to the virtual clients."""

    name: str = "iid"
    """iid, dirichlet, cluster_dirichlet, pachinko, shards, labels (so many labels each), natural (writers, speakers,
    subjects), file (as in the result file of an earlier run), or a dotted path."""
    clients: Annotated[Positive | None, Field(validate_default=True)] = None
    """Number of virtual clients, independent of the number of ranks; without it 10, and for natural and file as many as
    there are."""

    @field_validator("clients")
    @classmethod
    def _counted(cls, clients: int | None, info: ValidationInfo) -> int | None:
        return 10 if clients is None and info.data.get("name") not in ("natural", "file") else clients


class Model(Component):
    """The architecture that is trained."""

    name: str = "cnn"
    """mlp, lenet5, cnn, cnn_dropout, cnn1d, char_lstm; of the families vgg11, 13, 16, 19 (norm, width), resnet20, 32,
    44, 56, charcnn3 to 6, vdcnn9, 17, 29, 49; or a dotted path such as torchvision.models.resnet18."""
    init: Component | None = None
    """How the weights of convolutions and linear layers are drawn from the seed, their biases zero: xavier (gain),
    kaiming, normal (std), or the dotted path of a function of the module; without it as the model does by itself."""


class Version(Model):
    """One of several architectures, and how many clients have it."""

    name: str
    """As in `model`."""
    count: Positive
    """Clients that have it: the first so many of those that no row before it took."""


class Optimizer(Component):
    """The clients' optimizer; it starts anew with every job."""

    name: str = "sgd"
    """sgd, adam, adamw, or the dotted path of a torch.optim class."""


class Loss(Component):
    """The clients' loss, and that of the evaluation."""

    name: str = "cross_entropy"
    """cross_entropy, or the dotted path of loss(logits, labels), which gives a scalar tensor."""


class Speed(Component):
    """How the clients' speeds differ."""

    name: str
    """lognormal (sigma), trace (path), or the dotted path of a class like them."""


class ClientDevice(Section):
    """What the clients' devices and networks are like, on the virtual clock; delays hold on the wall clock too."""

    seconds_per_step: NotNegative = 1.0
    """Virtual seconds that one local step lasts."""
    speed: Speed | None = None
    """Factors that multiply seconds_per_step, one per client; without it all clients are equally fast."""
    stale: Any = False
    """Extra seconds of each client's updates: false; a list, one number per client; {"step": s, "shuffle": b, "list":
    [n0, n1, n2, ...]}: n0 clients without delay, n1 with one from [0, s), n2 from [s, 2s), ...; or the dotted path of
    a function that gives a list for a number of clients."""
    download_bandwidth: Rate | None = None
    """Bytes per second from the server to a client; without it, receiving takes no time."""
    upload_bandwidth: Rate | None = None
    """Bytes per second from a client to the server; without it, sending takes no time."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability that a job brings no result; the server learns it when the job would have ended."""
    availability: Availability | None = None
    """When clients are there; without it, always."""


class Availability(Section):
    """Windows in which a client begins jobs: it waits for the next one, and never breaks a job off.

    The clients' windows are staggered evenly over the period: client k's first opens at period * k / clients.
    """

    period: Seconds
    """Seconds from one opening to the next."""
    share: Annotated[float, Field(gt=0, le=1)]
    """Share of the period that a window lasts."""


class Client(Section):
    """What a client does with the model it is given."""

    epochs: Positive | Annotated[list[Positive], Field(min_length=2, max_length=2)] = 1
    """Passes over the client's data per job; [a, b] draws them uniformly per job (stragglers do partial work)."""
    batch_size: Positive = 32
    """Samples per local step; the last batch of an epoch may be smaller."""
    models: list[Version] = []
    """Architectures that differ from client to client, in place of `model`: rows [[client.models]] with what `model`
    takes and a `count`. Counts must add up to the clients; the algorithm must be one for it, say max_common."""
    shuffle: bool = True
    """Deal the client's samples to batches anew in every epoch; false keeps them in the order of the dataset."""
    test_size: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of each client's samples that it keeps back: at every evaluation its own model is evaluated on them."""
    test_clients: Annotated[int, Field(ge=0)] = 0
    """The last so many clients never train: at every evaluation each takes the model as a newcomer does (fits what the
    algorithm fits at home), and is examined on its held-out share."""
    app: Component | None = None
    """A Flower client to train and evaluate in place of hpcfl's: the dotted path of a NumPyClient, of a client_fn or of
    a ClientApp, with params for its constructor or its context's run_config. Needs a strategy with Flower's methods."""
    slices: Positive = 1
    """Cut each client's training samples at random in so many slices; it trains on one, round by round the next."""
    lr: Rate = 0.01
    """Learning rate of the client's optimizer."""
    lr_schedule: Component | None = None
    """cosine, step, multistep, exponential, or a torch.optim.lr_scheduler class; stepped once per server step."""
    optimizer: Optimizer = Optimizer()
    """How it steps."""
    loss: Loss = Loss()
    """What it minimises."""
    out_of_memory: Literal["fail", "split"] = "fail"
    """fail: a job for which memory is short has failed; split: it is tried once more with batches computed in halves,
    which rounds otherwise, so that a run's bits then depend on the memory there is."""
    device: ClientDevice = ClientDevice()
    """What it runs on: time on the virtual clock."""

    @field_validator("test_clients")
    @classmethod
    def _examined(cls, test_clients: int, info: ValidationInfo) -> int:
        if test_clients and not info.data.get("test_size"):
            raise ValueError("needs client.test_size greater than 0: samples that they are examined on")
        return test_clients

    @field_validator("epochs")
    @classmethod
    def _ordered(cls, epochs: int | list[int]) -> int | list[int]:
        if isinstance(epochs, list) and epochs[0] > epochs[1]:
            raise ValueError("the first number must not be larger than the second")
        return epochs


class Strategy(Component):
    """What the server computes; the fields of the algorithm's own dataclass go here too."""

    name: str = "fedavg"
    """One of the table in hpcfl/strategies, or a dotted path. With a + between them two combine that change different
    hooks, fields of both beside them: "fedprox+fedasync", "fedlc+fedadam"."""


class Schedule(Component):
    """When the server steps, and which clients train in between."""

    name: str = "synchronous"
    """synchronous, buffered (asynchronous), tiered (semi-asynchronous), or a dotted path."""


class Server(Section):
    """What rank 0 does between the rounds."""

    evaluate_every: Positive = 1
    """Server steps between two evaluations of the global model on the test set, and of the clients' own models on their
    held-out shares; the last step is always evaluated."""
    test_batch_size: Positive = 500
    """Samples per batch of that evaluation."""
    min_clients: Positive = 1
    """Clients that must succeed in a synchronous round; with fewer the run ends with an error."""
    retries: Annotated[int, Field(ge=0)] = 0
    """How often such a round is first tried again, from the same model, by clients drawn anew."""
    max_norm: Rate | None = None
    """Largest Euclidean norm of what an update may change of the model; with a longer one its client has failed."""
    timeout_s: Seconds = 1800.0
    """Longest wait of one rank for another [s]; must exceed the longest round."""
    on_rank_failure: Literal["stop", "continue"] = "stop"
    """When a client rank dies or hangs: stop ends the run with the reason; continue goes on with those that are left,
    and gives them what that rank had to do."""
    heartbeat_s: Seconds = 30.0
    """With on_rank_failure = "continue": a rank is taken for lost after so long without a sign of life [s], which each
    gives once a second; one whose process ends is at once."""
    joinable: bool = False
    """With on_rank_failure = "continue": more client ranks may join while it runs, by `hpcfl join`."""

    @model_validator(mode="after")
    def _goes_on(self) -> Server:
        if self.joinable and self.on_rank_failure != "continue":
            raise ValueError('joinable = true needs on_rank_failure = "continue": ranks that come and go')
        return self


class Results(Section):
    """The result file."""

    path: str | None = None
    """Where to write it; without it the first free one of results/NAME.h5, results/NAME-2.h5, ..."""
    overwrite: bool = False
    """Replace a file that exists."""
    keep_every: Annotated[int, Field(ge=0)] = 0
    """Keep the global model in the file after every so many server steps; 0 keeps the final one only."""
    on_storage_failure: Literal["stop", "continue"] = "stop"
    """Where the file cannot be written any more (a full disk, a quota, a file system that is gone): stop, with all that
    was recorded; or continue, and keep up to 256 MB in memory until it can, without checkpoints as long."""


class Checkpoint(Section):
    """How a run survives: where it stands is written down, and a later start goes on from there."""

    every: Annotated[int, Field(ge=0)] = 0
    """Server steps between two checkpoints; 0 makes one only when the run is asked to end (Ctrl-C, SIGTERM, SIGUSR2) or
    Slurm's time limit is near."""
    keep: Positive = 2
    """How many of the newest are kept."""
    path: Annotated[str, Field(min_length=1)] | None = None
    """Their folder, which every rank reaches; without it the result file's name with .checkpoint behind it."""
    second: Annotated[str, Field(min_length=1)] | None = None
    """A second place for them, a folder on other storage that every rank reaches: each one goes to both, and a resumed
    run takes the newest that is whole."""
    resume: Literal["no", "auto", "must"] = "no"
    """no: begin anew; auto: go on from the newest checkpoint, begin anew where none is; must (which `run --resume`
    means): an error where none is."""
    margin_s: NotNegative = 15.0
    """Seconds to spare before Slurm's time limit, beside twice the longest of the last steps and the writing."""
    requeue: bool = False
    """Under Slurm: put the job back into the queue when SIGUSR2 or the time limit ended it."""

    @model_validator(mode="after")
    def _goes_on(self) -> Checkpoint:
        if self.requeue and self.resume == "no":
            raise ValueError('requeue = true needs resume = "auto": the next start would begin anew')
        return self


class Device(Section):
    """What the ranks compute on."""

    kind: Literal["auto", "cpu", "cuda"] = "auto"
    """cpu; cuda, one GPU per rank by its place on the node; auto takes cuda where every rank sees a GPU."""
    interface: Annotated[str, Field(min_length=1)] | None = None
    """Network that ranks of several hosts use, say "ib0"; without it GLOO_SOCKET_IFNAME and NCCL_SOCKET_IFNAME, or the
    one of the host's name."""
    precision: Literal["fp32", "tf32", "bf16"] = "fp32"
    """fp32; tf32, products and convolutions of inputs rounded to 10 bits (GPUs of compute capability 8.0 or later);
    bf16, the model under autocast, with float32 weights, logits and losses (CPUs too)."""
    channels_last: Literal["auto"] | bool = "auto"
    """Keep images channel by channel of each pixel: true, false, or auto: on a CPU, for models that take them so."""
    compile: bool = False
    """Compile the model of a client trained by itself (torch.compile): it takes up to minutes before the first step."""
    graphs: Literal["auto"] | bool = "auto"
    """CUDA graphs for the local steps: true, false, or auto: on a GPU, wherever a step can be captured."""
    streams: Literal["auto"] | Annotated[int, Field(ge=1, le=16)] = "auto"
    """How many clients that are not batched train side by side on a GPU, 1 to 16; auto: one, or four small ones with
    captured steps."""

    @field_validator("channels_last", "graphs", "streams", mode="before")
    @classmethod
    def _or_auto(cls, given: Any, info: ValidationInfo) -> Any:
        counted = info.field_name == "streams"
        if given != "auto" and (type(given) is not int or not 1 <= given <= 16 if counted else type(given) is not bool):
            raise ValueError(f"should be {'1 to 16' if counted else 'true, false'} or 'auto'")
        return given


class Wandb(Component):
    """A run of Weights & Biases; other keys go to wandb.init, say group or tags."""

    name: str | None = None
    """The run's name; without it the job's."""
    project: str = "hpcfl"
    """The project that it belongs to."""
    mode: Literal["online", "offline", "disabled"] | None = None
    """online, offline (kept in ./wandb or WANDB_DIR, for `wandb sync`), disabled; without it WANDB_MODE or online."""


class Tracking(Section):
    """Where else the rows of /rounds go, for curves in a browser; no tracker can break a run."""

    wandb: Wandb | None = None
    """Weights & Biases: true, false, or a table."""
    tensorboard: Annotated[str, Field(min_length=1)] | None = None
    """TensorBoard: the folder for the run's own, say "runs" (which is what true means), or false."""

    @field_validator("wandb", "tensorboard", mode="before")
    @classmethod
    def _switched(cls, given: Any, info: ValidationInfo) -> Any:
        if isinstance(given, bool):
            return {"wandb": {}, "tensorboard": "runs"}[info.field_name] if given else None
        return given


class Communication(Section):
    """What clients upload."""

    compression: Component = Component(name="none")
    """none, fp16, bf16, qsgd (bits), topk (share), or the dotted path of a class like them. What it leaves out, a
    client adds to its next upload; so it always trains on the same rank."""


class Kill(Section):
    """A rank that dies on purpose."""

    rank: int
    """Which, by the launcher's number; not 0, which has the model and the file."""
    at: Positive
    """The round that it does not live through: it ends when it is to train from the model before that or one later."""

    @field_validator("rank")
    @classmethod
    def _mortal(cls, rank: int) -> int:
        if rank < 1:
            raise ValueError("valid: 1 or more; rank 0 has the model and the file, and a run ends with it")
        return rank


class Faults(Section):
    """What goes wrong on purpose: which clients and jobs it hits follows from the seed alone."""

    drop: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability that a job's update is lost on its way; the server learns it when the job would have ended."""
    late: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Probability that an update comes late."""
    delay: Annotated[NotNegative, Field(validate_default=True)] = 0.0
    """Seconds by which these are late."""
    corrupt: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Probability that an update is damaged on its way: a bit is turned in one of 1,000 of its numbers."""
    byzantine: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the clients that lie in every job."""
    attack: Component = Component(name="sign_flip")
    """How they lie: sign_flip (scale), noise (std), label_flip, or the dotted path of a class like them."""
    kill: list[Kill] = []
    """Ranks that die in the middle of the run, as {rank = 2, at = 3}; they change no bit of it."""

    @field_validator("delay")
    @classmethod
    def _felt(cls, delay: float, info: ValidationInfo) -> float:
        if info.data.get("late") and not delay:
            raise ValueError("must be greater than 0 where faults.late is: by no seconds nothing is late")
        return delay


class Privacy(Section):
    """Differential privacy of the clients towards whoever sees the models (central: the server is trusted)."""

    clip: Rate
    """Largest Euclidean norm of what a client changes of the model; a longer change is shortened to it."""
    noise: NotNegative
    """Standard deviation of the noise on the clients' sum, in units of clip; 0 clips only, and protects nobody."""
    delta: Annotated[float, Field(gt=0, lt=1)] = 1e-5
    """Probability with which epsilon, the bound that is recorded, may not hold; less than one in the clients."""


class JobSpec(Section):
    """A job: everything that decides the numbers of a run."""

    name: str = Field(default="run", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Names the result file; letters, digits, dot, dash and underscore."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Drives everything that is random."""
    rounds: Positive
    """Server steps to make."""
    clock: Literal["virtual", "wall"] = "virtual"
    """virtual: time follows from the job alone; wall: time is what the machine took."""
    threads: Positive = 1
    """CPU threads per rank; they change the bits of a convolution's gradient, so they belong to the job."""
    reproducible: bool = True
    """Exact sums: the same bits on any number of ranks. false sums in float32, a little faster."""
    execution: Literal["auto", "sequential", "batched"] = "auto"
    """How a rank trains its clients: one after the other; batched, many as one program, which differs by rounding; auto
    takes the batched one where that is faster: a rule of device, model and algorithm, never of a measurement."""
    data: Data
    """The dataset."""
    partition: Partition = Partition()
    """The clients' shares of it."""
    model: Model = Model()
    """The architecture."""
    client: Client = Client()
    """Local training."""
    strategy: Strategy = Strategy()
    """The algorithm."""
    schedule: Schedule = Schedule()
    """When the server steps."""
    communication: Communication = Communication()
    """What clients upload."""
    faults: Faults | None = None
    """What goes wrong on purpose; without the section, nothing."""
    privacy: Privacy | None = None
    """Clipped clients and a noised mean; without the section, none."""
    server: Server = Server()
    """Evaluation and patience."""
    results: Results = Results()
    """The result file."""
    tracking: Tracking = Tracking()
    """Curves elsewhere, beside the result file."""
    checkpoint: Checkpoint = Checkpoint()
    """Going on after an interruption."""
    device: Device = Device()
    """Where it computes."""

    def resolved(self) -> dict[str, Any]:
        """The job with every default written out, as plain dicts, lists, strings and numbers."""
        return self.model_dump(mode="json")


def plain_name(text: str) -> str:
    """The text as a job's `name` may be written; empty if nothing is left of it."""
    return re.sub(r"[^A-Za-z0-9._-]+|^[._-]+", "-", text).lstrip("-")


def unknown_key(key: str, valid: Iterable[str]) -> str:
    """The sentence for a key (dotted) that does not exist: the nearest valid ones, or all of them."""
    valid = sorted(valid)
    near = get_close_matches(key.rpartition(".")[2], valid, n=2, cutoff=0.6)
    return f"{key}: unknown key; " + (f"did you mean {' or '.join(near)}?" if near else f"valid: {', '.join(valid)}")


def _explain(error: Any, top: type[Section]) -> str:
    """One line for one of pydantic's errors: the key, what was given, what is valid."""
    words = [str(part) for part in error["loc"] if not str(part).startswith(("constrained-", "list[", "function-"))]
    words = [word for word in words if word not in ("int", "Component")]
    key = ".".join(words)
    if error["type"] == "extra_forbidden":
        return unknown_key(key, _fields_at(top, words[:-1]))
    if error["type"] == "missing":
        return f"{key}: required, but missing"
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if error["type"] in ("model_type", "model_attributes_type", "dict_type"):
        message = f"should be a table [{key}]"
    return f"{key} = {error['input']!r}: {message[:1].lower()}{message[1:]}"


def _fields_at(top: type[Section], path: list[str]) -> list[str]:
    section: Any = top
    for word in path:
        if word.isdigit():  # a row of a list
            continue
        kind = section.model_fields[word].annotation
        section = next(part for part in (kind, *get_args(kind)) if hasattr(part, "model_fields"))
    return list(section.model_fields)
