"""Whom the site asks for a model's opinion: a process of its own, started when the first picture comes."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import threading
import time
from base64 import b64encode
from pathlib import Path
from typing import Any

import numpy as np

from hpcfl.errors import DataError

__all__ = ["Judge"]

LIMIT_S = 120.0
"""A question that takes longer is given up: the first one imports PyTorch and reads the run's dataset."""
IDLE_S = 900.0
"""After so long without a question the process goes, and its memory with it."""
MOST_WAITING = 3
"""Questions at a time, of which all but one wait: the site has other things to answer."""


class Judge:
    """Asked from any thread; one question at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(MOST_WAITING)
        self._process: subprocess.Popen | None = None
        self._asked = 0.0

    def kind(self, run: Path) -> tuple[tuple[int, ...], list[str]]:
        """The shape of the pictures that the run's model takes, and its classes. DataError where it cannot judge."""
        answer = self._ask({"run": str(run)})
        return tuple(answer["shape"]), answer["labels"]

    def probabilities(self, run: Path, image: np.ndarray) -> list[float]:
        """Of each class, for (C, H, W) uint8."""
        return self._ask({"run": str(run), "pixels": b64encode(image.tobytes()).decode()})["probabilities"]

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        if not self._places.acquire(blocking=False):
            raise DataError("Others are having pictures judged: try again in a moment.")
        try:
            with self._lock:
                answer = self._answer(json.dumps(question).encode() + b"\n")
        finally:
            self._places.release()
        if "trouble" in answer:
            raise DataError(answer["trouble"])
        return answer

    def _answer(self, line: bytes) -> dict[str, Any]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._process = _start()
            threading.Thread(target=self._leave, args=(self._process,), daemon=True).start()
        self._asked = time.monotonic()
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
            return json.loads(_line(self._process.stdout.fileno(), self._asked + LIMIT_S))
        except (OSError, EOFError, TimeoutError) as failure:
            self.close()
            why = "took too long" if isinstance(failure, TimeoutError) else "ended: the terminal of the site says why"
            raise DataError(f"The process that rebuilds the model {why}.") from failure

    def _leave(self, process: subprocess.Popen) -> None:
        """End the process once nobody has asked for a while."""
        while process.poll() is None:
            time.sleep(max(1.0, self._asked + IDLE_S - time.monotonic()))
            with self._lock:
                if process is self._process and time.monotonic() - self._asked >= IDLE_S:
                    self.close()


def _start() -> subprocess.Popen:
    """It sees no GPU, which is for those who train, finds modules where the site does, and ends with it."""
    found = {"PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    environ = {**os.environ, **found, "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "hpcfl.dashboard.judging"]
    return subprocess.Popen(command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ)


def _line(pipe: int, until: float) -> bytes:
    """The next line from the pipe. TimeoutError if it does not come in time, EOFError if it never will."""
    found = b""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while not found.endswith(b"\n"):
            if not selector.select(max(0.0, until - time.monotonic())):
                raise TimeoutError
            part = os.read(pipe, 65536)
            if not part:
                raise EOFError
            found += part
    return found
