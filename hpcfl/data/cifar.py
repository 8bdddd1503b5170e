"""CIFAR-10 and CIFAR-100, from their pickled batches, which are read without executing anything in them."""

import io
import pickle
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, BinaryIO

import numpy as np

from hpcfl.data.dataset import Dataset
from hpcfl.data.params import choice
from hpcfl.data.source import Published
from hpcfl.errors import DataError


def _latin1(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise DataError(f"refuses to load a pickle that decodes {encoding}")
    return text.encode("latin1")


_RECONSTRUCT = np.empty(0).__reduce__()[0]
_FROM_BUFFER = np.empty(0).__reduce_ex__(5)[0]
_ALLOWED = {
    ("numpy", "dtype"): np.dtype,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy.core.numeric", "_frombuffer"): _FROM_BUFFER,
    ("numpy._core.numeric", "_frombuffer"): _FROM_BUFFER,
    # How Python 3 writes bytes, and empty ones, into a pickle of protocol 2.
    ("_codecs", "encode"): _latin1,
    ("__builtin__", "bytes"): lambda: b"",
}


class _Unpickler(pickle.Unpickler):
    """Knows numbers, texts, lists, dicts and NumPy's arrays, and calls nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise DataError(f"refuses to load a pickle that calls {module}.{name}: it is not a CIFAR batch") from None


def read_batch(file: BinaryIO, origin: str) -> dict[str, Any]:
    """One batch, its keys as text whichever Python wrote them; DataError, naming `origin`, for anything else."""
    try:
        batch = _Unpickler(file, encoding="bytes").load()
    except DataError as error:
        raise DataError(f"{origin}: {error}") from None
    except Exception as error:  # a damaged pickle can raise almost anything
        raise DataError(f"{origin} is damaged: {type(error).__name__}: {error}") from error
    if not isinstance(batch, dict):
        raise DataError(f"{origin} is not a CIFAR batch: it is a pickled {type(batch).__name__}, not a dict")
    batch = {key.decode() if isinstance(key, bytes) else key: value for key, value in batch.items()}
    data = batch.get("data")
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != 3072:
        given = f"{data.dtype} {data.shape}" if isinstance(data, np.ndarray) else type(data).__name__
        raise DataError(f"{origin} is not a CIFAR batch: its data is {given}, not uint8 (N, 3072)")
    return batch


@dataclass(frozen=True)
class Cifar(Published):
    """CIFAR in the folder its archive unpacks to, or in the .tar.gz itself."""

    archive: str
    train: tuple[str, ...]
    """Names of the training batches, in the order in which they are joined."""
    test: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def files(self, **params: Any) -> tuple[str, ...]:
        return (*self.train, self.test)

    def find(self, root: Path | None, **params: Any) -> list[Path] | None:
        archives = (folder / self.archive for folder in self._places(root))
        return super().find(root) or next(([path] for path in archives if path.is_file()), None)

    def _batches(self, root: Path | None) -> dict[str, dict[str, Any]]:
        paths = self.paths(root)
        if paths[0].name != self.archive:
            return {path.name: _open(path) for path in paths}
        batches = dict(_members(paths[0], self.files()))
        if absent := [name for name in self.files() if name not in batches]:
            raise DataError(f"{paths[0]} has no {', '.join(absent)} in it")
        return batches

    def _arrays(self, root: Path | None, key: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        batches = self._batches(root)
        labels = {name: _labels(batch, key, name) for name, batch in batches.items()}
        x_train = np.concatenate([batches.pop(name)["data"] for name in self.train]).reshape(-1, 3, 32, 32)
        x_test = batches[self.test]["data"].reshape(-1, 3, 32, 32)
        return x_train, np.concatenate([labels[name] for name in self.train]), x_test, labels[self.test]


class Cifar10(Cifar):
    """Krizhevsky 2009: 10 classes."""

    def download(self, datasets: ModuleType, root: Path) -> None:
        datasets.CIFAR10(str(root), download=True)

    def read(self, root: Path | None) -> Dataset:
        return Dataset(*self._arrays(root, "labels"), len(CIFAR10), CIFAR10, self.mean, self.std)


class Cifar100(Cifar):
    """Krizhevsky 2009: 100 fine classes in 20 coarse ones."""

    def download(self, datasets: ModuleType, root: Path, labels: str = "fine") -> None:
        datasets.CIFAR100(str(root), download=True)

    def read(self, root: Path | None, *, labels: Annotated[str, choice("fine", "coarse")] = "fine") -> Dataset:
        classes = CIFAR100 if labels == "fine" else CIFAR100_COARSE
        return Dataset(*self._arrays(root, f"{labels}_labels"), len(classes), classes, self.mean, self.std)


def _open(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return read_batch(file, str(path))


def _members(archive: Path, names: tuple[str, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The named files of the archive, read in the order in which they lie in it, for gzip cannot be rewound."""
    try:
        with tarfile.open(archive, "r|gz") as tar:
            for member in tar:
                name = member.name.rpartition("/")[2]
                if name in names and member.isfile():
                    yield name, read_batch(io.BytesIO(tar.extractfile(member).read()), f"{archive}/{name}")
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise DataError(f"{archive} is damaged: {error}") from error


def _labels(batch: dict[str, Any], key: str, origin: str) -> np.ndarray:
    try:
        labels = np.asarray(batch[key], np.int64)
    except (KeyError, TypeError, ValueError):
        raise DataError(f"{origin} is not a CIFAR batch: {key} is not a list of numbers in it") from None
    if labels.shape != (len(batch["data"]),):
        raise DataError(f"{origin} is damaged: {len(batch['data'])} images, but {labels.size} labels")
    return labels


CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_FINE = (
    "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle "
    "caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant "
    "flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man "
    "maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree "
    "plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper "
    "snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train "
    "trout tulip turtle wardrobe whale willow_tree wolf woman worm"
)
_COARSE = (
    "aquatic_mammals fish flowers food_containers fruit_and_vegetables household_electrical_devices "
    "household_furniture insects large_carnivores large_man-made_outdoor_things large_natural_outdoor_scenes "
    "large_omnivores_and_herbivores medium_mammals non-insect_invertebrates people reptiles small_mammals trees "
    "vehicles_1 vehicles_2"
)
CIFAR100 = tuple(_FINE.split())
CIFAR100_COARSE = tuple(_COARSE.split())
COARSE_OF = (
    4, 1, 14, 8, 0, 6, 7, 7, 18, 3, 3, 14, 9, 18, 7, 11, 3, 9, 7, 11, 6, 11, 5, 10, 7, 6, 13, 15, 3, 15, 0, 11, 1, 10,
    12, 14, 16, 9, 11, 5, 5, 19, 8, 8, 15, 13, 14, 17, 18, 10, 16, 4, 17, 4, 2, 0, 17, 4, 18, 17, 10, 3, 2, 12, 12, 16,
    12, 1, 9, 19, 2, 10, 0, 1, 16, 12, 9, 13, 15, 13, 16, 19, 2, 4, 6, 19, 5, 5, 8, 19, 18, 1, 2, 15, 6, 0, 17, 8, 14,
    13,
)  # fmt: skip
"""The coarse class of each fine one."""
