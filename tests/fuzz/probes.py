"""What a case does in a process of its own: commands as a user gives them, and readers and decoders by themselves."""

import hashlib
import importlib
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from argon2 import PasswordHasher

import hpcfl
from hpcfl.analysis.quantities import AXES
from hpcfl.answers import hear_answer
from hpcfl.cli import main
from hpcfl.components import construct
from hpcfl.compression import COMPRESSIONS
from hpcfl.core import World
from hpcfl.dashboard import accounts, judging, summary
from hpcfl.dashboard.app import create_app
from hpcfl.dashboard.catalogue import run_id
from hpcfl.dashboard.settings import Settings
from hpcfl.data import catalog
from hpcfl.data.stored import stored
from hpcfl.devices import Devices
from hpcfl.errors import HpcflError
from hpcfl.orders import Order, hear_order
from hpcfl.results import open_results
from hpcfl.sweep import condition

MODULES = ("analysis.export", "analysis.parting", "bench", "doctor", "plots.command", "preflight.command", "rank",
           "report", "report.compare", "report.layout", "report.table", "report.watch", "sweep", "validate",
           "asyncbench")  # fmt: skip
FLOWERS = ("flwr.server.strategy", "flwr.serverapp.strategy") if find_spec("flwr") else ()
CPU = torch.device("cpu")
WORLD = World(0, 3, np.arange(1, 13).reshape(6, 2), 4, (1, 3), Devices.alike(6, 0.1))


def warm() -> None:
    """Import what the cases need, before the first fork."""
    torch.set_num_threads(1)
    import hpcfl.results.reader as reader

    reader.TRIES = 2  # nobody writes these files: what cannot be read once cannot be read at all
    accounts.HASHER = PasswordHasher(1, 8, 1)
    for name in MODULES:
        importlib.import_module(f"hpcfl.{name}")
    for name in (*FLOWERS, "PIL.Image", "matplotlib.pyplot", "pandas", "scipy.io", "torchvision"):
        importlib.import_module(name)


def command(*argv: str) -> int:
    """`hpcfl ARGV`; its exit code."""
    try:
        main(list(argv))
    except SystemExit as ended:
        return ended.code or 0
    return 0


def explained(action, *given, **more) -> int:
    """As the command line does: 2 and one message where the action refuses."""
    try:
        action(*given, **more)
    except HpcflError as failure:
        print(f"hpcfl: error: {failure}", file=sys.stderr)
        return failure.exit_code
    return 0


def run_two_rounds(job: str, out: str) -> int:
    """A job, and a file that must tell that it ran."""
    sys.path.insert(0, "")  # as `python -m hpcfl`
    code = command("run", job, "--out", out)
    if code:
        return code
    with open_results(Path(out)) as run:
        assert run.finished
        assert run.rounds["step"].tolist() == [1, 2]
        assert all(run.model(2, name) for name in run.models[2])
    return 0


def read_results(path: str, names: list[str]) -> int:
    """These of the READERS on a result file, which none of them may change."""
    before, worst = content(path), 0
    for name in names:
        worst = max(worst, READERS[name](path))
        assert content(path) == before, f"{name} changed the file"
    return worst


def words(*argv: str):
    """A command on the file; of `watch` 1 is that the run did not finish."""

    def read(path: str) -> int:
        code = command(*(word.format(path) for word in argv))
        assert code in (0, 1, 2), (argv, code)
        return 0 if code == 1 else code

    return read


def frame(name: str):
    """A table for pandas."""
    return lambda path: explained(lambda: getattr(hpcfl.Results(path), name))


def repaired(path: str) -> int:
    """What is repaired must be readable, however odd."""
    code = command("repair", path, "--out", "repaired.h5")
    assert code in (0, 2), code
    if Path("repaired.h5").exists():
        assert command("show", "repaired.h5") in (0, 2)
    return code


def browse(*pages: str):
    """The dashboard over the folder: each page is one, or says in words why not."""

    def read(path: str) -> int:
        from people import Person  # of the dashboard's tests

        app = create_app(Settings(results=Path.cwd(), state=Path(tempfile.mkdtemp(dir=Path.cwd()))))
        app.config["PROPAGATE_EXCEPTIONS"] = True
        browser = Person(app, "viewer", "viewer")
        for page in pages:
            answer = browser.get(page.format(run_id(Path(path).stem)))
            assert answer.status_code in (200, 204, 404, 422), (page, answer.status_code, answer.text)
        return 0

    return read


def rebuild(path: str) -> int:
    """The process behind the dashboard's predictions: its answer, for whatever it takes."""
    told = judging.answer({"run": path}, {})
    assert told.keys() in ({"trouble"}, {"shape", "labels"}), told
    return 0


def look(path: str) -> int:
    """What a sweep and a list of runs make of a file that has no round."""
    condition.is_ours(Path(path))
    summary.starting(Path(path))
    return 0


def deal(path: str) -> int:
    """The partition of the file, for another job."""
    return explained(stored, np.zeros(6, int), None, np.random.default_rng(0), path=path)


FIGURES = ("accuracy", "loss", "clients", "labels", "staleness", "gantt", "times", "confusion", "study")
CHARTS = [
    f"/run/{{}}/data/{name}"
    for name in ("clients", "labels", "staleness", "times", *(f"curves?over={axis}" for axis in AXES),
                 *(f"gantt?by={by}&part={part}" for by in ("client", "rank") for part in ("latest", "first")))
]  # fmt: skip
OVERLAYS = [f"/compare/data?run={{}}&what={what}&over={over}" for what in ("accuracy", "client_loss") for over in AXES]
READERS = {
    "show": words("show", "{}"), "sharing": words("show", "--sharing", "{}"), "verify": words("verify", "{}", "{}"),
    "export": words("export", "{}"), "json": words("export", "--format", "json", "{}"),
    "compare": words("compare", "{}", "whole.h5"), "table": words("table", "{}"),
    "watch": words("watch", "--wait", "0", "--every", "0.05", "{}"), "repair": repaired,
    **{f"export {name}": words("export", "--table", name, "{}") for name in ("events", "own", "clients")},
    **{f"plot {kind}": words("plot", kind, "{}", "-o", "figure.png") for kind in FIGURES},
    **{f"frame {name}": frame(name) for name in ("rounds", "events", "failures", "clients", "classes", "own", "metrics",
                                                 "partition")},
    "model": lambda path: explained(lambda: hpcfl.Results(path).model()),
    "load": lambda path: explained(hpcfl.load, path),
    "list": browse("/", "/rows", "/compare?run={}"), "page": browse("/run/{}", "/run/{}/state", "/run/{}/file"),
    "charts": browse(*CHARTS), "overlays": browse(*OVERLAYS), "judge": rebuild, "look": look, "deal": deal,
}  # fmt: skip
"""Everything that reads a result file."""


def resume(job: str, path: str) -> int:
    """Go on with a run; a file that is refused stays as it is, and one that went on is whole."""
    before = content(path)
    code = command("run", job, "--out", path, "--resume")
    assert code in (0, 2), code
    if code:
        assert content(path) == before, "a run that was refused changed the file"
        return code
    return explained(lambda: open_results(Path(path)).close())  # what was odd in it may still be


def content(path: str) -> str:
    """The digest of a file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def read_dataset(name: str, root: str, params: dict, cache: str | None = None) -> int:
    """A dataset, its labels and what a job asks of them."""
    where = {"root": Path(root), "params": params}
    return max(
        explained(lambda: check_dataset(catalog.load(name, **where, cache=Path(cache) if cache else None))),
        explained(lambda: check_labels(catalog.load_labels(name, **where))),
    )


def check_dataset(dataset) -> None:
    """What was let in is what it says it is."""
    assert len(dataset.x_train) == len(dataset.y_train) > 0
    assert dataset.y_train.max() < dataset.classes
    assert dataset.x_train.dtype == np.uint8 or dataset.tokens or np.isfinite(dataset.x_train).all()


def check_labels(labels) -> None:
    """As of the dataset."""
    assert 0 <= labels.y.min() <= labels.y.max() < labels.classes


def hear_messages(messages: list[list[int]], names: list[str] | None = None) -> int:
    """An order or an answer, from messages of int64 words; ValueError is the answer to what makes no sense."""
    left = [torch.tensor(words, dtype=torch.int64).view(torch.uint8) for words in messages]

    def recv(tensor: torch.Tensor) -> None:
        flat = tensor.view(-1).view(torch.uint8) if tensor.numel() else tensor.view(-1)
        came = left.pop(0) if left else torch.zeros(0, dtype=torch.uint8)
        size = min(flat.numel(), came.numel())
        flat[:size] = came[:size]

    try:
        if names is None:
            heard = hear_order(recv, WORLD, CPU)
            check_order(heard)
        else:
            row, uploads, reason = hear_answer(SimpleNamespace(recv=recv), names)
            assert len(row) == 3
            assert set(uploads) == (set() if reason is not None else set(names))
    except ValueError as failure:
        assert len(str(failure)) > 20, failure
        print(f"hpcfl: error: {failure}", file=sys.stderr)
        return 2
    return 0


def check_order(heard) -> None:
    """What was let in can be done: every job is of a client there is, and has its parcel."""
    for job in getattr(heard, "jobs", ()) if isinstance(heard, Order) else ():
        assert 0 <= job.client < 6
        assert all(isinstance(tensor, torch.Tensor) for tensor in heard.sent(job).values())


def compress(name: str, numbers: list[float]) -> int:
    """Compressed, any upload has its own length."""
    y = torch.tensor(numbers)
    assert len(construct("compression", COMPRESSIONS[name], {})(y, np.random.default_rng(0))) == len(y)
    return 0
