"""The table of datasets, and the way from a name in the job file to arrays in memory."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hpcfl.data.agnews import AgNews
from hpcfl.data.arrays import Called, Npz
from hpcfl.data.builtin import Digits, Synthetic
from hpcfl.data.cache import cached
from hpcfl.data.cifar import Cifar10, Cifar100
from hpcfl.data.cinic import Cinic10
from hpcfl.data.dataset import Dataset, Labels, check_labels
from hpcfl.data.folder import Folder
from hpcfl.data.har import UciHar
from hpcfl.data.idx import Emnist, Idx
from hpcfl.data.leaf import Leaf
from hpcfl.data.mixture import Mixture
from hpcfl.data.omniglot import Omniglot
from hpcfl.data.pamap2 import Pamap2
from hpcfl.data.params import bind, locate, nearest
from hpcfl.data.shakespeare import Shakespeare
from hpcfl.data.source import Source
from hpcfl.data.speech import SpeechCommands
from hpcfl.data.svhn import Svhn
from hpcfl.errors import DataError, HpcflError

# Means and deviations are the ones commonly published with each dataset: those of its training images divided by 255.
SOURCES: dict[str, Source] = {
    "digits": Digits(),
    "mnist": Idx(
        title="MNIST",
        folders=("MNIST/raw", "mnist/raw", "MNIST", "mnist", "raw", "."),
        url="https://ossci-datasets.s3.amazonaws.com/mnist/",
        torchvision="MNIST",
        classes=tuple("0123456789"),
        mean=0.1307,
        std=0.3081,
        opening=(5, 0, 4, 1, 9, 2, 1, 3, 1, 4),
    ),
    "fashion_mnist": Idx(
        title="Fashion-MNIST",
        folders=("FashionMNIST/raw", "fashion_mnist/raw", "FashionMNIST", "fashion_mnist", "fashion", "raw", "."),
        url="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        torchvision="FashionMNIST",
        classes=("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"),
        mean=0.2860,
        std=0.3530,
        opening=(9, 0, 0, 3, 0, 2, 7, 2, 5, 5),
    ),
    "emnist": Emnist(
        title="EMNIST",
        folders=("EMNIST/raw", "EMNIST/raw/gzip", "EMNIST/gzip", "EMNIST", "emnist", "emnist/gzip", "gzip", "raw", "."),
        url="https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip",
    ),
    "cifar10": Cifar10(
        title="CIFAR-10",
        folders=("cifar-10-batches-py", "cifar10/cifar-10-batches-py", "cifar10", "."),
        url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
        archive="cifar-10-python.tar.gz",
        train=tuple(f"data_batch_{number}" for number in range(1, 6)),
        test="test_batch",
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2470, 0.2435, 0.2616),
    ),
    "cifar100": Cifar100(
        title="CIFAR-100",
        folders=("cifar-100-python", "cifar100/cifar-100-python", "cifar100", "."),
        url="https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
        archive="cifar-100-python.tar.gz",
        train=("train",),
        test="test",
        mean=(0.5071, 0.4865, 0.4409),
        std=(0.2673, 0.2564, 0.2762),
    ),
    "cinic10": Cinic10(
        title="CINIC-10",
        folders=("CINIC-10", "cinic-10", "cinic10", "."),
        url="https://datashare.ed.ac.uk/handle/10283/3192",
        mean=(0.4789, 0.4723, 0.4305),
        std=(0.2421, 0.2383, 0.2587),
    ),
    "svhn": Svhn(
        title="SVHN",
        folders=("SVHN", "svhn", "."),
        url="http://ufldl.stanford.edu/housenumbers/",
        mean=(0.4377, 0.4438, 0.4728),
        std=(0.1980, 0.2010, 0.1970),
    ),
    "omniglot": Omniglot(
        title="Omniglot",
        folders=("omniglot", "omniglot-py", "omniglot/python", "."),
        url="https://github.com/brendenlake/omniglot/tree/master/python",
    ),
    "uci_har": UciHar(
        title="UCI HAR",
        folders=("UCI HAR Dataset", "uci_har", "uci_har/UCI HAR Dataset", "."),
        url="https://archive.ics.uci.edu/dataset/240/human+activity+recognition+using+smartphones",
    ),
    "pamap2": Pamap2(
        title="PAMAP2",
        folders=("PAMAP2_Dataset/Protocol", "pamap2/PAMAP2_Dataset/Protocol", "pamap2/Protocol", "pamap2", "."),
        url="https://archive.ics.uci.edu/dataset/231/pamap2+physical+activity+monitoring",
    ),
    "shakespeare": Shakespeare(
        title="Shakespeare",
        folders=("shakespeare", "tinyshakespeare", "."),
        url="https://github.com/karpathy/char-rnn/tree/master/data/tinyshakespeare",
    ),
    "ag_news": AgNews(
        title="AG News",
        folders=("ag_news_csv", "AG_NEWS", "ag_news", "."),
        url="https://github.com/mhjabreel/CharCnn_Keras/tree/master/data/ag_news_csv",
    ),
    "speech_commands": SpeechCommands(
        title="Speech Commands",
        folders=("speech_commands", "SpeechCommands/speech_commands_v0.02", "speech_commands_v0.02", "."),
        url="http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz",
    ),
    "leaf": Leaf(),
    "npz": Npz(),
    "folder": Folder(),
    "synthetic": Synthetic(),
    "mixture": Mixture(),
}


def find_root(given: str | None, environ: Mapping[str, str]) -> Path | None:
    """The folder that holds the datasets: `given` (data.root), else the variable HPCFL_DATA, else None."""
    root = given or environ.get("HPCFL_DATA")
    return Path(root).expanduser().absolute() if root else None


def load(
    name: str,
    *,
    root: Path | None = None,
    download: bool = False,
    params: Mapping[str, Any] | None = None,
    cache: Path | None = None,
    stage: Path | None = None,
) -> Dataset:
    """The dataset `name`, from the table or by the dotted path of a function, with its keys `params`.

    With the folder `cache` it is read from its files once, and mapped into memory from then on; with `stage`, a folder
    of this node alone, it is mapped from there, where one rank puts what all others of the cluster read once. JobError
    for a mistake in the job file, DataError for data that is missing or damaged.
    """
    source, params = _source(name, params)
    with _explained(name):
        if download:
            source.fetch(root, **params)
        files = _origin(source, root, params) if cache or stage else []
        given = name, params, files
        return cached(stage, *given, lambda: cached(cache, *given, lambda: source.read(root, **params)))


def load_labels(name: str, *, root: Path | None = None, params: Mapping[str, Any] | None = None) -> Labels:
    """The training labels, the number of classes and the holders, without the samples where the files allow it."""
    source, params = _source(name, params)
    with _explained(name):
        labels = source.labels(root, **params)
        check_labels(labels.y, labels.classes, "y_train")
        return labels


def fetch(name: str, root: Path | None, params: Mapping[str, Any] | None = None) -> bool:
    """Download the dataset into `root` unless it is there; whether that was needed. For one process per node."""
    source, params = _source(name, params)
    with _explained(name):
        return source.fetch(root, **params)


def _source(name: str, params: Mapping[str, Any] | None) -> tuple[Source, dict[str, Any]]:
    if name in SOURCES:
        # `root` is the job file's own key, not one of the dataset's.
        return SOURCES[name], bind(SOURCES[name].read, params or {}, "data", skip=1)
    if "." not in name:
        raise nearest("data.name", name, SOURCES)
    function = locate(name, "data.name")
    return Called(function), bind(function, params or {}, "data")


def _origin(source: Source, root: Path | None, params: dict[str, Any]) -> list[Path]:
    try:
        return source.origin(root, **params)
    except HpcflError:  # `read` says what is wrong
        return []


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Begin every message with the dataset it is about."""
    try:
        yield
    except DataError as error:
        raise DataError(f"data.name = {name!r}: {error}") from error
    except MemoryError as error:
        raise DataError(f"data.name = {name!r}: does not fit in memory: {error}") from error
    except OSError as error:  # no permission, a broken disk: the message of the system names the file
        raise DataError(f"data.name = {name!r}: cannot be read: {error}") from error
