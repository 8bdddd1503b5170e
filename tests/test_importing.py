"""What is imported is never looked through for garbage; all that comes later is."""

import gc
import weakref

import pytest

from hpcfl.memory import importing


class Knot:
    def __init__(self):
        self.self = self


def test_only_what_comes_after_an_import_is_collected():
    gc.unfreeze()
    with pytest.raises(ImportError), importing():
        assert not gc.isenabled()
        before = weakref.ref(Knot())
        raise ImportError
    assert gc.isenabled()
    after = weakref.ref(Knot())
    gc.collect()
    assert (before() is None, after() is None) == (False, True)
    gc.unfreeze()
    gc.collect()
    assert before() is None
