"""Where a dataset comes from: looked for under a data root, explained where it is missing, fetched on request."""

import socket
import tarfile
import zipfile
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

from hpcfl.data.dataset import Dataset, Labels
from hpcfl.errors import DataError


class Source(ABC):
    """One row of the table of datasets. The keyword arguments of `read` are the dataset's keys in the job file."""

    @abstractmethod
    def read(self, root: Path | None, **params: Any) -> Dataset:
        """The dataset, or DataError."""

    def labels(self, root: Path | None, **params: Any) -> Labels:
        """What a partition needs, more cheaply than `read` where the files allow it."""
        dataset = self.read(root, **params)
        return Labels(dataset.y_train, dataset.classes, dataset.holders)

    def origin(self, root: Path | None, **params: Any) -> list[Path]:
        """The files that `read` reads, or folders where they are very many; none where keeping what it makes of them
        does not pay. DataError as `read`'s."""
        return []

    def fetch(self, root: Path | None, **params: Any) -> bool:
        """Download what is not under the root yet. Whether something was; a source without a server has nothing."""
        return False


@dataclass(frozen=True)
class Placed(Source):
    """A dataset in the files its authors distribute, put under the root by hand: nothing downloads it."""

    title: str
    folders: tuple[str, ...]
    """Where its files may lie under the root, the usual place first."""
    url: str
    """Where to download it by hand."""

    _fetched: ClassVar[str] = ""
    _or_fetch: ClassVar[str] = "; data.download cannot fetch it"

    def locate(self, root: Path | None, *patterns: str) -> Path:
        """The first folder in which something fits one of the patterns; DataError, as `missing`, where none does."""
        for folder in self._places(root):
            if any(next(folder.glob(pattern), None) for pattern in patterns):
                return folder
        raise self.missing(root, patterns)

    def missing(self, root: Path | None, names: tuple[str, ...]) -> DataError:
        """The error for files that are not there: where they were looked for and how to get them."""
        if root is None:
            return DataError(
                f"{self.title} is read from a data root, and none is given.\nSet data.root (or the environment "
                f"variable HPCFL_DATA) to the folder that has {self.folders[0]} in it{self._fetched}. By hand: "
                f"{self.url}"
            )
        looked = "".join(f"\n  {folder} ({_lack(folder, names)})" for folder in self._places(root))
        return DataError(
            f"{self.title} is not under the data root {root}. Looked in{looked}\n"
            f"Set data.root (or the environment variable HPCFL_DATA) to the folder that has {self.folders[0]} in it"
            f"{self._or_fetch}. {self._by_hand(root)}"
        )

    def _places(self, root: Path | None) -> list[Path]:
        return [] if root is None else [root / folder for folder in self.folders]

    def _by_hand(self, root: Path) -> str:
        return f"By hand: get the files from {self.url} into {root / self.folders[0]}."


@dataclass(frozen=True)
class Published(Placed):
    """A dataset in the files its authors distribute, which torchvision knows how to download."""

    _fetched = "; with data.download = true it is downloaded there"
    _or_fetch = ", or set data.download = true"

    @abstractmethod
    def files(self, **params: Any) -> tuple[str, ...]:
        """The names of the files that it consists of."""

    @abstractmethod
    def download(self, datasets: ModuleType, root: Path, **params: Any) -> None:
        """Fetch it into `root` by torchvision's own downloader."""

    def origin(self, root: Path | None, **params: Any) -> list[Path]:
        return self.paths(root, **params)

    def fetch(self, root: Path | None, **params: Any) -> bool:
        """Download it unless it is there. DataError says why that failed."""
        if root is None:
            raise DataError("data.download = true needs a place: set data.root or the environment variable HPCFL_DATA")
        if self.find(root, **params):
            return False
        try:
            import torchvision.datasets as datasets
        except ImportError as error:
            raise DataError(f"data.download = true needs torchvision ({error}): pip install torchvision") from None
        patience = socket.getdefaulttimeout()
        socket.setdefaulttimeout(60.0)  # a firewall that swallows packets must not hold the job for ever
        try:
            root.mkdir(parents=True, exist_ok=True)
            self.download(datasets, root, **params)
        except (OSError, RuntimeError, EOFError, ValueError, tarfile.TarError, zipfile.BadZipFile) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise DataError(
                f"{self.title} could not be downloaded into {root}: {reason}\n{self._by_hand(root)} "
                "Compute nodes often have no network: download where there is one, say on the login node."
            ) from error
        finally:
            socket.setdefaulttimeout(patience)
        return True

    def find(self, root: Path | None, **params: Any) -> list[Path] | None:
        """The files, plain or .gz, in the first folder that has them all; None where no folder does."""
        names = self.files(**params)
        for folder in self._places(root):
            found = [path for name in names if (path := _file(folder, name))]
            if len(found) == len(names):
                return found
        return None

    def paths(self, root: Path | None, **params: Any) -> list[Path]:
        """The files; where they are missing, a DataError that says where they were looked for and how to get them."""
        found = self.find(root, **params)
        if found is None:
            raise self.missing(root, self.files(**params))
        return found


def _file(folder: Path, name: str) -> Path | None:
    """The file under its own name or, as most are distributed, compressed."""
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def _lack(folder: Path, names: tuple[str, ...]) -> str:
    absent = [name for name in names if not _file(folder, name) and not (folder / name).is_dir()]
    if not folder.is_dir():
        return "no such folder"
    if len(absent) == len(names):
        return f"none of {', '.join(absent)}"
    return f"incomplete: no {', '.join(absent)}"
