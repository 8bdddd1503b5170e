"""What only analysis needs is installed on request."""

from importlib import import_module
from types import ModuleType

from hpcfl.errors import ResultError

__all__ = ["need"]


def need(package: str, what: str) -> ModuleType:
    """The package that `what` is made with. Raises ResultError if it is not installed, saying how it is."""
    try:
        return import_module(package)
    except ImportError as error:
        raise ResultError(f"{what} need {package}: pip install 'hpcfl[analysis]'") from error
