"""Local steps as CUDA graphs: recorded once for each size of batch, then replayed by one call each.

What is recorded is `training.Fit.step` itself, over memory that stands still: the trainer's work space, the optimizer's
state, and copies of what the algorithm's hooks look at. Before a step everything is copied in, afterwards the result
lies in the work space as ever. A small step so costs the GPU's time, and no longer that of some hundred calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, Protocol

import torch
from torch import Tensor

from hpcfl.core import Job, first_line
from hpcfl.errors import TrainingError
from hpcfl.sgd import SGD
from hpcfl.strategies import FedAvg
from hpcfl.training import Client, Fit, Trainer

__all__ = ["Captured", "CudaGraph", "Eager", "Graph", "Recording", "obstacle", "standing", "state_of", "zero"]

State = dict[str, Tensor]
WARM_UP = 3
"""Runs before the capture, in which libraries choose and allocate what they need."""
LENGTHS = 8
"""Sizes of batch, beside the whole one, that get a graph each; steps of any other are made call by call."""


class Graph(Protocol):
    """A computation over memory that stands still."""

    def capture(self, compute: Callable[[], None]) -> None:
        """Learn it. It is really run some times on the way: the caller puts its memory back."""

    def replay(self) -> None:
        """Run it."""


class CudaGraph:
    """The real one. It is captured on the stream that it will run on: cuBLAS keeps scratch memory for each stream."""

    def __init__(self, stream: Any = None):
        self._stream = stream or torch.cuda.Stream()
        self._graph = torch.cuda.CUDAGraph()

    def capture(self, compute: Callable[[], None]) -> None:
        """As in `Graph`. A computation that waits for the GPU, which no graph can, fails before the capture begins."""
        current = torch.cuda.current_stream()
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            compute()  # the first run may wait: libraries are loaded and compiled in it
            with without_waiting():
                for _ in range(WARM_UP - 1):
                    compute()
        # other threads receive messages meanwhile: they may allocate, and end no capture
        with torch.cuda.graph(self._graph, stream=self._stream, capture_error_mode="thread_local"):
            compute()
        current.wait_stream(self._stream)

    def replay(self) -> None:
        self._graph.replay()


class Eager:
    """The same without a GPU: it runs the computation call by call."""

    def capture(self, compute: Callable[[], None]) -> None:
        for _ in range(WARM_UP):
            compute()
        self._compute = compute

    def replay(self) -> None:
        self._compute()


@contextmanager
def without_waiting() -> Iterator[None]:
    """Whatever makes the host wait for the GPU is an error."""
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


class Recording:
    """One computation, by graph or, where it could not be captured, call by call: with the same bits."""

    def __init__(self, compute: Callable[[], None], written: Callable[[], list[Tensor]], graph: Graph | None):
        self.failure: Exception | None = None
        """Why it could not be captured."""
        self.draws = False
        """Whether it draws random numbers of torch's."""
        self._replay = compute
        if graph is None:
            return
        try:
            with undone(written) as device:
                before = random_state(device)
                graph.capture(compute)
                self.draws = not torch.equal(random_state(device), before)
            self._replay = graph.replay
        except Exception as failure:
            self.failure = failure

    def run(self) -> None:
        """Do it once."""
        self._replay()


@contextmanager
def undone(written: Callable[[], list[Tensor]]) -> Iterator[torch.device]:
    """What the block writes is put back, with the random numbers it draws; memory that comes to be becomes zero."""
    before = {tensor: tensor.clone() for tensor in written()}
    device = next(iter(before)).device
    with torch.random.fork_rng(devices=[device.index] if device.type == "cuda" else []):
        try:
            yield device
        finally:
            with torch.no_grad():
                for tensor in written():
                    tensor.copy_(before[tensor]) if tensor in before else tensor.zero_()


def random_state(device: torch.device) -> Tensor:
    """Where torch's random numbers on the device stand."""
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


class Standing:
    """A client as a recorded step may see it: tensors that stand still, and no numbers of a job's own."""

    def __init__(self, client: Client, looks: bool):
        self.loss, self.layout = client.loss, client.layout
        if looks:
            self.counts = client.counts.clone()
            self.state = {name: tensor.clone() for name, tensor in client.state.items()}

    def put(self, client: Client) -> None:
        """Copy in what may be looked at."""
        self.counts.copy_(client.counts)
        for name, tensor in self.state.items():
            tensor.copy_(client.state[name])

    def __getattr__(self, name: str) -> NoReturn:
        raise TrainingError(f"the algorithm looks at client.{name} in its steps, and a graph would not see it change")


class Memory:
    """What the recorded steps of jobs of one kind read, beside the samples: the same tensors for all of these jobs."""

    def __init__(self, captured: Captured, client: Client, sent: State, start: Tensor):
        self._looks, self._corrects = captured.looks, captured.corrects
        self._sent = {name: tensor.clone() for name, tensor in sent.items()} if self._corrects else {}
        self._start = start.clone() if self._corrects else start
        self._client = Standing(client, self._looks)
        self.fit = Fit(captured.trainer, client, self._sent)
        """Whose step is recorded."""
        self.fit.client, self.fit.loss, self.fit._start = self._client, captured.loss, self._start
        self.recordings: dict[tuple[int, int], tuple[Tensor, Recording]] = {}
        """(number of the work space, samples of the batch) -> where their places are put, and the step."""

    def put(self, client: Client, sent: State, start: Tensor) -> None:
        """Copy in what the algorithm's hooks may look at."""
        if self._looks:
            self._client.put(client)
        if self._corrects:
            self._start.copy_(start)
            for name, tensor in self._sent.items():
                tensor.copy_(sent[name])


class Replayed(Fit):
    """A `fit` whose steps are replayed; its loss is valid until the next job."""

    def __init__(self, captured: Captured, client: Client, sent: State):
        super().__init__(captured.trainer, client, sent)
        self._captured = captured
        self.loss = captured.loss.zero_()

    def _prepare(self, vector: Tensor) -> Any:
        self._memory = self._captured.memory(self.client, self._sent, self._start)
        return self._captured.prepare(vector, self.client.lr)

    def step(self, index: Tensor, vector: Tensor, optimizer: Any, weights: Tensor | None = None) -> None:
        if weights is not None:  # the samples' weights are those of one job: call by call
            super().step(index, vector, optimizer, weights)
            return
        place, recording = self._captured.recording(self._memory, self._calls - 1, len(index), vector)
        place.copy_(index)
        recording.run()
        self.examples += len(index)
        self.steps += 1


class Captured:
    """A trainer's recorded steps. `Captured(trainer, CudaGraph)` makes the trainer's jobs use them."""

    def __init__(self, trainer: Trainer, graph: Callable[[], Graph]):
        self.trainer, self._graph = trainer, graph
        strategy = type(trainer.strategy)
        self.corrects = strategy.correct is not FedAvg.correct
        """Whether a step changes its gradient by what was sent, the start and the client."""
        self.looks = self.corrects or strategy.loss is not FedAvg.loss
        """Whether it looks at the client."""
        self.loss = torch.zeros((), dtype=torch.float64, device=trainer.device)
        self._optimizer = standing(trainer.optimizer(), trainer.device)
        self._memories: dict[tuple, Memory] = {}
        self.draws = False
        """Whether any step recorded so far draws random numbers."""
        trainer.fit = lambda _, client, sent: Replayed(self, client, sent)

    def memory(self, client: Client, sent: State, start: Tensor) -> Memory:
        """The memory of this kind of job, with this one's tensors copied in."""
        seen = [*(sent.items() if self.corrects else ()), *(client.state.items() if self.looks else ())]
        kind = tuple((name, tensor.shape) for name, tensor in seen)
        if kind not in self._memories:
            self._memories[kind] = Memory(self, client, sent, start)
        self._memories[kind].put(client, sent, start)
        return self._memories[kind]

    def prepare(self, vector: Tensor, lr: float) -> Any:
        """The optimizer as new, in the memory that it had, with the module bound to `vector`."""
        self.trainer.bind(vector)
        zero(self._optimizer, lr)
        return self._optimizer

    def recording(self, memory: Memory, number: int, length: int, vector: Tensor) -> tuple[Tensor, Recording]:
        """Where the places of the batch are put, and its step."""
        known = memory.recordings
        if (number, length) not in known:
            index = torch.zeros(length, dtype=torch.int64, device=self.trainer.device)
            whole, others = length == self.trainer.batch_size, {size for _, size in known}
            graph = self._graph() if whole or length in others or len(others) <= LENGTHS else None
            compute = lambda: memory.fit.step(index, vector, self._optimizer)  # noqa: E731
            known[number, length] = index, Recording(compute, lambda: self._written(vector), graph)
            self.draws = self.draws or known[number, length][1].draws
        return known[number, length]

    def _written(self, vector: Tensor) -> list[Tensor]:
        return [vector, self.loss, *self.trainer.module.buffers(), *state_of(self._optimizer)]

    def trial(self, job: Job, sent: State) -> str | None:
        """Why a step of this job cannot be captured, or None; nothing is trained."""
        trainer = self.trainer
        try:
            start = {**trainer.homes.latest(job.client), **sent}["w"]
            client = trainer.client(job, {"w": start} if trainer.strategy.private else {})
            trainer.seed(client)
            trainer.module.train()
            fit = Replayed(self, client, sent)
            vector = trainer.workspace(0).copy_(start)
            fit._start, fit._calls = start[: trainer.layout.trainable], 1
            fit._prepare(vector)
            length = min(trainer.batch_size, client.examples)
            failure = self.recording(fit._memory, 0, length, vector)[1].failure
        except Exception as raised:
            failure = raised
        if failure is None:
            return None
        return str(failure) if isinstance(failure, TrainingError) else first_line(failure)


def standing(optimizer: Any, device: torch.device) -> Any:
    """The optimizer, if it can be captured, with its learning rate in memory on a GPU; TrainingError if it cannot."""
    if (why := obstacle(optimizer)) is not None:
        raise TrainingError(why)
    if device.type == "cuda":
        for group in optimizer.param_groups:
            group["lr"] = torch.tensor(float(group["lr"]), device=device)
            if "capturable" in group:
                group["capturable"] = True
    return optimizer


def zero(optimizer: Any, lr: float) -> None:
    """Make it new in place: for the optimizers that `obstacle` lets pass, a state of zeros is that before any step."""
    for tensor in state_of(optimizer):
        tensor.zero_()
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(lr)
        else:
            group["lr"] = lr


def state_of(optimizer: Any) -> list[Tensor]:
    return [value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor)]


def obstacle(optimizer: Any) -> str | None:
    """Why this optimizer's steps cannot be captured, or None."""
    kind = type(optimizer)
    if kind not in (SGD, torch.optim.Adam, torch.optim.AdamW):
        return f"{kind.__module__.partition('.')[0]}'s {kind.__name__} may not keep still"
    for group in optimizer.param_groups:
        if group.get("dampening"):
            return "dampening makes the first step of a job another one than those that follow"
    return None
