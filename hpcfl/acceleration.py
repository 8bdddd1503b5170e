"""What a job asks of its device, done: precision, memory format, compiler, CUDA graphs and streams.

What this device cannot do is one JobError before training. Graphs and streams that are left to "auto" are taken where
they can be, and where not the result file says why.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hpcfl.batched import Batched
from hpcfl.captured import Captured, CudaGraph
from hpcfl.core import Job, World, first_line
from hpcfl.errors import JobError, TrainingError
from hpcfl.hindsight import Lane
from hpcfl.recorded import RecordedBatched, program
from hpcfl.schema import Device
from hpcfl.training import Fit, Trainer

__all__ = ["Accelerator", "Execution", "compile_module", "enter", "narrow", "wants_channels_last"]

TENSOR_CORES = (8, 0)
"""Compute capability from which a GPU has TF32."""
SIDE_BY_SIDE = 4
"""Streams that `auto` takes for small models: untried so far, as docs/speed.md says."""
SMALL = 2_000_000
"""Parameters up to which one client is taken to leave most of a GPU idle."""
CAPTURED = "captured"


class Accelerator:
    """A GPU, as far as graphs and streams are concerned."""

    stream, graph = staticmethod(torch.cuda.Stream), CudaGraph


class Narrow:
    """Goes before a module's class: its forward pass in bfloat16 where PyTorch holds that to be safe."""

    def forward(self, *inputs: Tensor) -> Tensor:
        # no cache: it would keep the weights of a step for the next one
        with torch.autocast(inputs[0].device.type, torch.bfloat16, cache_enabled=False):
            return super().forward(*inputs).float()


def narrow(module: nn.Module) -> nn.Module:
    """The same module, its weights in float32, computing in bfloat16."""
    module.__class__ = type(type(module).__name__, (Narrow, type(module)), {})
    return module


def enter(given: Device, device: torch.device) -> None:
    """Make it this process's device, with the job's rounding of products; JobError for what it cannot do."""
    refuse(given, device)
    if device.type == "cuda":
        torch.cuda.set_device(device)  # seeds, streams and graphs are those of the current one
        tf32 = given.precision == "tf32"
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32


def refuse(given: Device, device: torch.device) -> None:
    """JobError for a setting that needs another device."""
    if device.type == "cpu":
        if given.precision == "tf32":
            raise JobError('device.precision = "tf32": needs a GPU, but this job runs on cpu; valid here: fp32, bf16')
        if given.graphs is True:
            raise JobError('device.graphs = true: needs a GPU, but this job runs on cpu; valid here: "auto", false')
        if given.streams not in ("auto", 1):
            raise JobError(f'device.streams = {given.streams}: needs a GPU, but this job runs on cpu; valid: "auto", 1')
        return
    ability = torch.cuda.get_device_capability(device)
    if given.precision != "fp32" and ability < TENSOR_CORES:
        raise JobError(
            f'device.precision = "{given.precision}": needs compute capability 8.0 or later, but '
            f"{torch.cuda.get_device_name(device)} has {ability[0]}.{ability[1]}; valid here: fp32"
        )


def wants_channels_last(given: Device, device: torch.device, module: nn.Module, shape: tuple[int, ...]) -> bool:
    """Whether images lie in that memory format; JobError if they are to, and the model does not take them."""
    if given.channels_last is False or (given.channels_last == "auto" and device.type != "cpu"):
        return False
    likes = likes_channels_last(module, shape)
    if given.channels_last is True and not likes:
        raise JobError(
            'device.channels_last = true: the model has no 2-D convolution or refuses such images; valid: "auto", false'
        )
    return likes


def likes_channels_last(module: nn.Module, shape: tuple[int, ...]) -> bool:
    """Whether the module has 2-D convolutions and takes images in that memory format (`x.view` may refuse them)."""
    if len(shape) != 3 or not any(isinstance(part, nn.Conv2d) for part in module.modules()):
        return False
    depth, height, width = shape
    try:
        with torch.no_grad():
            module.eval()(torch.zeros(2, height, width, depth).permute(0, 3, 1, 2))
    except Exception:  # whatever it says, the other format works: that was tried before
        return False
    return True


def compile_module(module: nn.Module, batch: Tensor) -> None:
    """Compile it in place; JobError where PyTorch's compiler does not work, tried with a step of a copy."""
    with torch.random.fork_rng(devices=[]):
        try:
            trial = copy.deepcopy(module).to(batch.device).train()
            trial.compile()
            trial(batch).sum().backward()
        except Exception as failure:
            raise JobError(
                f"device.compile = true: PyTorch's compiler does not work here: {first_line(failure)}; leave it false"
            ) from None
    module.compile()


class Execution:
    """How this rank trains its clients: together or one by one, by graphs or call by call, on how many streams."""

    def __init__(self, trainer: Trainer, batched: Batched | None):
        self.batched = batched
        """Trains many clients as one program; None where they are trained one after the other."""
        self.lanes: Sequence[Lane] = ()
        """Where clients train side by side; none but the trainer itself where this is empty."""
        self.graphs = ""
        """What became of the graphs: "captured", or why not; nothing where they were not asked for."""
        self._trainer, self._captured = trainer, None

    def take(self, world: World, given: Device, device: Accelerator) -> Execution:
        """As the job says, tried on one client; JobError if a graph must be and cannot."""
        stream = device.stream()
        if given.graphs is True and self._trainer.family:
            raise JobError('device.graphs = true: clients may have different architectures; valid here: "auto", false')
        if given.graphs is not False and not self._trainer.family:
            client = int(world.counts.sum(1).argmax())
            sent = self._trainer.strategy.send(self._trainer.strategy.init(world), client)
            refusal = self._capture(world.job(client, 0, 0.0), sent, lambda: device.graph(stream))
            if refusal and given.graphs is True:
                raise JobError(f'device.graphs = true: {refusal}; valid here: "auto", false')
            self.settle([refusal or CAPTURED])
        streams = self._streams(given.streams)
        if streams > 1:
            beside = [(self._trainer.twin(), device.stream()) for _ in range(streams - 1)]
            if self._captured:
                for twin, own in beside:
                    Captured(twin, lambda own=own: device.graph(own))
            if given.compile:
                for version in (version for twin, _ in beside for version in twin.versions):
                    version.module.compile()
            self.lanes = [Lane(self._trainer, stream), *(Lane(*lane) for lane in beside)]
        return self

    def _capture(self, job: Job, sent: dict[str, Tensor], graph: Callable[[], Any]) -> str | None:
        """Record steps from now on; or why they cannot be."""
        if self.batched is not None:
            if not isinstance(self.batched, RecordedBatched):
                return (
                    "a program of many clients needs plain cross entropy, gradients as they are, and a known optimizer"
                )
            return self.batched.record(graph, sent["w"])
        try:
            self._captured = Captured(self._trainer, graph)
        except TrainingError as refusal:
            return str(refusal)
        return self._captured.trial(job, sent)

    def _streams(self, given: int | str) -> int:
        """How many; one for what `Hindsight` does not train, and for random numbers: all graphs share their seed."""
        if self.batched or self._trainer.strategy.private or (self._captured and self._captured.draws):
            return 1
        small = max(version.layout.size for version in self._trainer.versions) <= SMALL
        return (SIDE_BY_SIDE if self._captured and small else 1) if given == "auto" else int(given)

    def take_over(self, size: int) -> None:
        """Train in programs of `size` clients, or one by one (0), as an earlier part of the run did."""
        if size == (self.batched.size if self.batched else 0):
            return
        self.batched = program(self._trainer, size) if size else None
        self.settle(["the programs are those of the checkpoint"])

    def settle(self, said: Sequence[str]) -> None:
        """With what became of the graphs on every rank: on all client ranks or on none, so that they compute alike."""
        known = [words for words in said if words]
        self.graphs = next((words for words in known if words != CAPTURED), known[0] if known else "")
        if self.graphs == CAPTURED:
            return
        self._captured = None
        for trainer in (self._trainer, *(lane.trainer for lane in self.lanes)):
            trainer.fit = Fit
        if isinstance(self.batched, RecordedBatched):
            self.batched.record(None)

    def __str__(self) -> str:
        """For the result file."""
        words = [f"batched, {self.batched.size}" if self.batched else "sequential"]
        if self.graphs:
            words.append(self.graphs if self.graphs == CAPTURED else f"not captured: {self.graphs}")
        if len(self.lanes) > 1:
            words.append(f"{len(self.lanes)} streams")
        return ", ".join(words)
