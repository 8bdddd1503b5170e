"""The predictions of a file's model: it and its job's test set are built again from the job in the file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hpcfl.data.catalog import SOURCES
from hpcfl.errors import JobError, ResultError
from hpcfl.jobfile import JobFile
from hpcfl.results import Reader
from hpcfl.schema import Client, Communication, JobSpec, Partition, Schedule, Server

__all__ = ["Rebuilt", "confused", "rebuild"]


@dataclass(frozen=True)
class Rebuilt:
    """A stored model, ready to predict."""

    trainer: Any
    vector: Any
    """(P,) of the model."""
    test: Any
    """The job's test set, on the device."""
    batch_size: int
    labels: list[str]
    shape: tuple[int, ...]
    """Of a sample; (C, H, W) of an image."""
    images: bool
    """Whether samples are images of 0 to 255."""

    def logits(self, x: Any) -> Any:
        """(B, classes) of the samples (B, ...), as the run's own evaluation has them."""
        import torch

        def forward(w: Any) -> Any:
            self.trainer.bind(w)
            return self.trainer.module(x)

        self.trainer.module.eval()
        with torch.no_grad():
            return self.trainer.strategy.predict(forward, self.vector)

    def probabilities(self, image: np.ndarray) -> np.ndarray:
        """(classes,) of one image, (C, H, W) uint8."""
        x = self.test.prepare(image[None])
        return self.logits(x).float().softmax(1)[0].cpu().numpy()


def rebuild(run: Reader, step: int | None = None, trust: bool = False) -> Rebuilt:
    """The model after `step`, by default the latest in the file, and its job's test set; imports PyTorch.

    A job that names code by dotted paths is built only with `trust`: whoever made the file chose what they lead to.
    ResultError if the model does not fit into the job's, JobError without trust, DataError if the data is not there.
    """
    tensors = run.model(step)
    spec = _test_only(JobSpec.parse(run.job, f"the job in {run.path}"))
    import torch

    from hpcfl.build import assemble

    if not trust:
        _require_known(run, spec)
    folder = _job_folder(run) if trust else None
    device = torch.device("cuda" if torch.cuda.is_available() and spec.device.kind != "cpu" else "cpu")
    parts = assemble(JobFile(run.job_text, spec, folder), device, trains=False, serves=True)
    trainer, test = parts.trainer, parts.test
    vector = torch.empty(trainer.layout.size, device=device)
    for name, view in trainer.layout.views(vector).items():
        if name not in tensors or tensors[name].shape != tuple(view.shape):
            raise ResultError(f"{run.path}: its model has no {name} of shape {tuple(view.shape)}, as its job's has")
        view.copy_(torch.from_numpy(tensors[name]))
    shape = tuple(test.batch(slice(1))[0].shape[1:])
    return Rebuilt(trainer, vector, test, spec.server.test_batch_size, list(parts.labels), shape, test.images)


def confused(run: Reader, step: int | None = None, trust: bool = False) -> tuple[np.ndarray, list[str]]:
    """(C, C) test samples of each class by prediction, and the names of the classes; as `rebuild`."""
    import torch

    model = rebuild(run, step, trust)
    classes, test = len(model.labels), model.test
    counts = torch.zeros(classes * classes, dtype=torch.int64, device=model.vector.device)
    for begin in range(0, len(test), model.batch_size):
        x, truth = test.batch(slice(begin, begin + model.batch_size))
        counts += torch.bincount(truth * classes + model.logits(x).argmax(1), minlength=classes * classes)
    return counts.view(classes, classes).cpu().numpy(), model.labels


def _test_only(spec: JobSpec) -> JobSpec:
    """The job without all that predictions do not need: how its clients train, and when.

    Nor does a file alone choose where data is kept, or have it fetched. Its root stays: the data is only read there, in
    the forms that datasets have.
    """
    return spec.model_copy(
        update={
            "data": spec.data.model_copy(
                update={"transform": None, "stage": None, "download": False, "cache": spec.data.cache is not False}
            ),
            "partition": Partition(name="iid", clients=1),
            "client": Client(),
            "schedule": Schedule(),
            "communication": Communication(),
            "server": Server(test_batch_size=spec.server.test_batch_size),
            "device": spec.device.model_copy(update={"compile": False}),
        }
    )


def _require_known(run: Reader, spec: JobSpec) -> None:
    """JobError if the job would run code that is neither hpcfl's nor one of torchvision's models."""
    from torchvision.models import list_models

    from hpcfl.models import MODELS
    from hpcfl.strategies import STRATEGIES

    known = {
        "data.name": SOURCES,
        "model.name": {*MODELS, *(f"torchvision.models.{name}" for name in list_models())},
        "strategy.name": STRATEGIES,
    }
    asked = {"data.name": [spec.data.name], "model.name": [spec.model.name]}
    asked["strategy.name"] = [name.strip() for name in spec.strategy.name.split("+")]
    strange = [(key, name) for key, names in asked.items() for name in names if name not in known[key]]
    for section, params in (("model", spec.model.params), ("strategy", spec.strategy.params)):
        strange += [(f"{section}.{key}", value) for key, value in params.items() if "." in str(_words(value))]
    if strange:
        told = ", ".join(f"{key} = {value!r}" for key, value in strange)
        raise JobError(
            f"{run.path}: its job names code by dotted path ({told}), which a file alone does not get run; if you know "
            "where it comes from, say --trust"
        )


def _words(value: Any) -> str:
    """All strings in a value."""
    if isinstance(value, dict):
        return " ".join(map(_words, value.values()))
    if isinstance(value, list):
        return " ".join(map(_words, value))
    return value if isinstance(value, str) else ""


def _job_folder(run: Reader) -> Path | None:
    """Where the job file lay, with the modules beside it."""
    started = Path(str(run.environment.get("cwd", "")))
    words = run.environment.get("argv", [])
    jobs = [started / word.partition("#")[0] for word in words if word.partition("#")[0].endswith((".toml", ".json"))]
    return next((job.parent for job in jobs if job.is_file()), started if started.is_dir() else None)
