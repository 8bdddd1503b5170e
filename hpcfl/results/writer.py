"""The writer of the result file: what runs at the start, a row per step, the model, and how it ended."""

import errno
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hpcfl.errors import ResultError, StorageError
from hpcfl.results.continued import JOINS, LOSSES, cut_back, note, now, put_back, remark, status
from hpcfl.results.files import DAMAGE, abandon, reason, reserve, there
from hpcfl.results.format import FORMAT, NEXUS, OWN, TABLES, VERSION
from hpcfl.results.places import check_path, check_space
from hpcfl.results.sections import (
    Tensor,
    apart,
    append_metrics,
    append_own,
    cut_metrics,
    cut_own,
    fixed,
    write_clients,
    write_environment,
    write_job,
    write_model,
    write_partition,
    write_sharing,
    write_state,
)
from hpcfl.results.table import Table

__all__ = ["Writer"]

# Rows per chunk, by which a column grows. Small chunks split the index of a long table, large ones bloat a short run.
CHUNKS = {"rounds": 512, "events": 8192, "failures": 64}

# What a row of /events takes, and the reason of a failure.
EVENT_BYTES = 512


class Writer:
    """Rank 0's result file. Whenever the process ends, and however, the steps recorded before can be read.

    A step is recorded in two flushes: first its rows, then the root attribute `committed`, which counts them.
    A reader that believes the count sees a step whole or not at all.

    waiting: why the file lacks steps. full: why the run must end for that. Both are empty here: it stops at once.

    As a context manager it closes the file, and notes in `status` if the block was left without `finish`.
    """

    waiting = full = ""

    def __init__(self, path: Path, *, overwrite: bool = False, expected_bytes: int = 0, resumes: bool = False):
        """Create the file under the name `path`.new, and its folders; `start` or `resume` gives it its own name.

        So neither a job that fails early nor one that is killed then touches what lies at `path`. Raises ResultError
        if something does (unless `overwrite`), if no file can be created there, or if its file system has less free
        space than `expected_bytes` and a margin of 8 MiB. `resumes`: what lies there is the run that goes on.
        """
        self.path = Path(path)
        self._overwrite = overwrite or resumes
        self._aside = self.path.with_name(self.path.name + ".new")
        self._last_step = 0.0
        self._started = self._ended = False
        self._source = -1
        """The file once more: what it has can be copied, also when it has lost its name or HDF5 has let go of it."""
        self._tables: dict[str, Table] = {}
        try:
            check_path(self.path, self._overwrite)
            if resumes:
                h5py.File(self.path, "r", locking=True).close()  # refused while another run writes there
                expected_bytes += self.path.stat().st_size
            self.path.parent.mkdir(parents=True, exist_ok=True)
            check_space(self.path, expected_bytes)
            self._file: h5py.File | None = None
            self._open("w")
            self._hold()
        except BlockingIOError as error:
            about = "writes there" if resumes else "is about to"
            raise ResultError(f"cannot write {self.path}: another run {about}; choose another --out") from error
        except OSError as error:
            raise ResultError(f"cannot write {self.path}: {reason(error)}; choose another --out") from error

    def start(
        self,
        job_text: str,
        job: Mapping[str, object],
        environment: Mapping[str, object],
        clients: Mapping[str, np.ndarray],
        labels: Sequence[str] = (),
        owner: np.ndarray | None = None,
        family: Any = None,
    ) -> None:
        """Record what runs, where, and on which clients.

        job_text: the job file, verbatim. job: the resolved job, in types that JSON knows.
        environment: a str, bool, int, float or list of str per name; None is left out.
        clients: some of examples (N,), classes (N, C), delay (N,) in seconds, architecture (N,) of str.
        labels: the names of the C classes, by default their numbers.
        owner: (samples,) the client that holds each training sample, in the dataset's order, or -1.
        """
        large = (*map(np.asarray, clients.values()), () if owner is None else owner)
        with self._writing(len(job_text) + sum(8 * np.size(part) for part in large)) as file:
            # First of the root's messages, so that it lies within one page of the file, and a kill cannot tear it.
            file.attrs["committed"] = np.zeros(len(TABLES), np.int64)
            file.attrs["status"] = status("running")
            file.attrs.update(format=FORMAT, format_version=VERSION, NX_class="NXroot", default="rounds")
            file["start_time"] = now()
            for name, attributes in NEXUS.items():
                file.create_group(name).attrs.update(attributes)
            file["model"].attrs["latest"] = -1
            write_job(file["job"], job_text, job)
            write_environment(file["environment"], environment)
            write_clients(file["clients"], clients, labels)
            if owner is not None:
                write_partition(file["partition"], owner)
            if family is not None:
                write_sharing(file.create_group("sharing"), family)
                file["sharing"].attrs["NX_class"] = "NXcollection"
            self._open_tables()
            # Makes room for this name in the root's index, which could not be read by anyone while it grew at the end.
            file["end_time"] = now()
            file.flush()
            del file["end_time"]
            file.flush()
            check_path(self.path, self._overwrite)
            self._aside.replace(self.path)
            self._started = True

    @property
    def run(self) -> str:
        """What tells this run from any other: when it started."""
        return self._file["start_time"].asstr()[()]

    def resume(
        self, step: int, job_text: str, job: Mapping[str, object], environment: Mapping[str, object], exact: bool
    ) -> None:
        """Go on after `step` in the file that lies there, without what came later; `environment` is put beside the
        first one. `exact`: to the same bits as if the run had never been interrupted.

        A copy is cut back and renamed: whenever the process ends, a whole file lies there.
        """
        self._file.close()
        self._leave()
        try:
            cut_back(self.path, self._aside, step, job_text, job, {**environment, "exact": exact})
            self._open("r+")
            self._open_tables()
            self._aside.replace(self.path)
            self._hold()
        except DAMAGE as error:
            if self._file:
                abandon(self._file)
            self._leave()
            why = f"it has no {error}" if isinstance(error, KeyError) else reason(error)
            raise ResultError(f"cannot go on with {self.path}: {why}; it is as it was") from error
        self._started, self._last_step = True, step

    def reopen(self, why: str, again: Collection[int] = ()) -> None:
        """Put the file, as it was after the last step, at its path once more, and go on there; the models of the steps
        `again` are to be written again. Where that fails the file is as it was, and the StorageError begins with `why`.
        """
        file = self._file
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.exists() and not os.path.samestat(self.path.stat(), os.fstat(self._source)):
                raise OSError(errno.EEXIST, "another file lies there now")
            self._file = None
            put_back(Path(f"/proc/self/fd/{self._source}"), self._aside, int(self._last_step), again)
            self._open("r+")
            reserve(self._file)
            self._open_tables()
            self._aside.replace(self.path)
            self._hold()
        except DAMAGE as error:
            if self._file and self._file is not file:
                abandon(self._file)
            self._file = file
            with suppress(OSError):
                self._aside.unlink(missing_ok=True)
            raise StorageError(f"{why}; nor again at {self.path}: {reason(error)}") from error
        if file:
            abandon(file)

    def _open(self, mode: str) -> None:
        """Open the file that lies aside."""
        # Without a chunk cache a row goes straight to its place: the flush has only metadata left to write.
        self._file = h5py.File(self._aside, mode, rdcc_nbytes=0, locking="best-effort")

    def _hold(self) -> None:
        source, self._source = self._source, os.dup(self._file.id.get_vfd_handle())
        if source >= 0:
            os.close(source)

    def _open_tables(self) -> None:
        self._tables = {name: Table(self._file[name], columns, CHUNKS[name]) for name, columns in TABLES.items()}

    def step(self, row: Mapping[str, float], events: Sequence[Mapping[str, object]] = ()) -> None:
        """Append a step, its row of /rounds and its updates' rows of /events, and flush.

        `events` have the columns of /events except `step`, `status` as a word, and a `reason` in words if they failed.
        A float that is missing is recorded as NaN; a missing integer or an unknown name is a ValueError.
        """
        updates, failures = apart(row["step"], events)
        with self._writing(EVENT_BYTES * len(updates)) as file:
            for name, rows in (("rounds", [row]), ("events", updates), ("failures", failures)):
                self._tables[name].append(rows)
            file.flush()
            file.attrs.modify("committed", np.array([table.rows for table in self._tables.values()]))
            file.flush()
        self._last_step = row["step"]

    def clients(self, step: int, loss: np.ndarray, accuracy: np.ndarray, *test: np.ndarray) -> None:
        """Append how the clients' own models did, (N,) each, NaN for those not asked; seen once `step` is recorded.

        `test`: loss and accuracy on the test set, where they were tried on it too.
        """
        with self._writing(4 * loss.nbytes) as file:
            append_own(file["clients"], step, dict(zip(OWN, (loss, accuracy, *test))))
            file.flush()

    def metrics(self, rows: Sequence[Mapping[str, object]]) -> None:
        """Append rows of /metrics; seen once their `step` is recorded. The first call makes the table."""
        if not rows:
            return
        with self._writing(EVENT_BYTES * len(rows)) as file:
            append_metrics(file, rows, CHUNKS["events"])
            file.flush()

    def model(self, step: int, vector: np.ndarray, layout: Sequence[Tensor], name: str = "global") -> None:
        """Keep the model after `step`: its vector (P,) of float32 and the tensors in it, in order.

        layout: (name, shape, kind, place) of each tensor in the order of the state_dict, where `place` is the offset
        in the vector of a "parameter" or "buffer", and the value of a "constant", which is not in the vector.
        name: which of a step's models it is, where there are several.
        """
        with self._writing(vector.nbytes) as file:
            write_model(file, step, name, vector, layout)
            file["model"].attrs.modify("latest", step)
            file.flush()

    def state(self, step: int, name: str, values: np.ndarray) -> None:
        """Keep one of the algorithm's own tensors beside the model after `step`."""
        with self._writing(values.nbytes) as file:
            write_state(file, step, name, values)

    def loss(self, rank: int, why: str) -> None:
        """Note that the launch goes on without a rank, which was lost in the step that is recorded next."""
        with self._writing(EVENT_BYTES) as file:
            note(file, LOSSES, {"rank": rank, "step": int(self._last_step) + 1, "reason": why})

    def join(self, rank: int, host: str) -> None:
        """Note that a rank came late, on that host, before the step that is recorded next."""
        with self._writing(EVENT_BYTES) as file:
            note(file, JOINS, {"rank": rank, "step": int(self._last_step) + 1, "host": host})

    def remark(self, what: str) -> None:
        """Note what happened to the file itself."""
        with self._writing(EVENT_BYTES) as file:
            remark(file, what)

    def finish(self, ending: str = "finished") -> None:
        """Record how the run ended: "finished", "interrupted" or "failed". Only a finished run has an `end_time`."""
        with self._writing() as file:
            self._find()
            if ending == "finished":
                end_time = file.create_dataset(None, data=fixed([now()])[0])
                file.flush()
                file["end_time"] = end_time
            file.attrs.modify("status", status(ending))
            file.flush()
            os.fsync(file.id.get_vfd_handle())
        self._ended = True

    def close(self) -> None:
        """Close the file, as often as you like. A file that was never started is removed."""
        if self._file is None:
            self._leave()
            return
        with self._writing() as file:
            # A step that was interrupted half-way leaves columns of unequal length.
            for table, rows in zip(self._tables.values(), file.attrs.get("committed", ())):
                table.truncate(rows)
            if self._tables:
                cut_own(file["clients"], self._last_step)
                cut_metrics(file, self._last_step)
            file.flush()
            size = file.id.get_filesize()
            file.close()
            if os.fstat(self._source).st_size > size:
                os.ftruncate(self._source, size)  # the room that was left
        self._leave()

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # An error on the way out must not hide the one that led here.
        with suppress(ResultError) if kind else nullcontext():
            if self._source >= 0 and self._started and not self._ended:
                self.finish("failed" if kind and issubclass(kind, Exception) else "interrupted")
            self.close()

    @contextmanager
    def _writing(self, more: int | None = None) -> Iterator[h5py.File]:
        """Turn a write that fails into one StorageError, and leave the file as its last flush left it.

        `more`: bytes that are written, for which there must be room before any is; None needs no more than a file has.
        """
        if self._file is None:
            raise ResultError(f"cannot write {self.path}: it has been closed")
        try:
            if more is not None:
                self._find()
                self._reserve(more)
            yield self._file
        except StorageError:
            raise
        except (OSError, RuntimeError) as error:
            abandon(self._file)
            self._file = None
            raise self._refusal(error) from error

    def _reserve(self, more: int) -> None:
        try:
            reserve(self._file, more)
        except OSError as error:  # nothing was written: the file stays open
            raise self._refusal(error) from error

    def _find(self) -> None:
        """Put the file back if it is no longer where it was, and say so in a StorageError."""
        if self._started and not there(self._file, self.path):
            why = f"cannot write {self.path}: it was removed, replaced or unmounted after step {self._last_step:.0f}"
            self.reopen(why)
            raise StorageError(f"{why}; what was recorded up to there lies there again")

    def _refusal(self, error: Exception) -> StorageError:
        kept = f"what was recorded up to step {self._last_step:.0f} is readable"
        advice = kept if self._last_step else "make room or choose another --out"
        return StorageError(f"cannot write {self.path}: {reason(error)}; {advice}")

    def _leave(self) -> None:
        self._file = None
        if self._source >= 0:
            os.close(self._source)
            self._source = -1
        if not self._started:
            self._aside.unlink(missing_ok=True)
