"""Cases of the fuzz tests: how many, how they are tried, and what became of them."""

import json
import os
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from forge import TRACEBACK
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

CASES = int(os.environ.get("HPCFL_FUZZ", "200"))
"""Of all kinds together."""
LIMIT_S = 60.0
"""A case that takes longer hangs: the longest takes seconds, on a machine that has other things to do."""
UNLIMITED = pytest.mark.timeout(0)
"""Each case has its limit; how long so many take nobody knows."""
TALLY = Counter()
"""kind, outcome -> how many."""


def share(part: float, together: int = 1):
    """Settings of a test that takes this part of the cases, so many `together`. A short run is always the same one."""
    return settings(
        max_examples=max(1, round(part * CASES / together)),
        deadline=timedelta(seconds=2 * LIMIT_S),
        derandomize="HPCFL_FUZZ" not in os.environ,
        database=None,
        print_blob=True,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )


class Forge:
    """The process that forks for each case."""

    def __init__(self):
        script = Path(__file__).with_name("forge.py")
        environ = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
        tests = Path(__file__).parents[1]
        paths = [str(tests.parent), str(tests / "dashboard"), environ.get("PYTHONPATH", "")]
        environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        environ["MPLBACKEND"] = "agg"
        environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"  # the others take a GiB of addresses at once
        self._process = subprocess.Popen(
            [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ
        )

    def close(self):
        """Let it end."""
        self._process.stdin.close()
        self._process.wait(30)

    def __call__(self, kind: str, folder: Path, probe: str, *given) -> None:
        """Try a case in a folder: it must run, or end with a message."""
        self.each(kind, folder, probe, [given])

    def runs(self, kind: str, folder: Path, probe: str, *given) -> None:
        """Try a case that must run."""
        self.each(kind, folder, probe, [given], ("ran",))

    def each(self, kind: str, folder: Path, probe: str, cases: list, good: tuple = ("ran", "message")) -> None:
        """The same for quick cases, in one process."""
        request = {"probe": probe, "cases": cases, "folder": str(folder), "limit_s": LIMIT_S}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answers = json.loads(self._process.stdout.readline())
        outcomes = [outcome_of(**answer) for answer in answers]
        TALLY.update((kind, outcome) for outcome in outcomes)
        for outcome, answer, given in zip(outcomes, answers, cases):
            assert outcome in good, f"{outcome} of {probe} {str(given)[:2000]}:\n{answer['said'][-6000:]}"


def outcome_of(code: int, hangs: bool, said: str) -> str:
    """ran, message, traceback, hang, crash, damage or silence."""
    if hangs:
        return "hang"
    if "changed the file" in said:
        return "damage"
    if code == TRACEBACK or "Traceback (most recent call last)" in said:
        return "traceback"
    if code < 0:
        return "crash"
    if code == 0:
        return "ran"
    return "message" if "rror: " in said else "silence"


@st.composite
def byte_changes(draw):
    """What happens to the bytes of a file: each is (what, where, bytes), the place as a share of the length."""
    what = st.sampled_from(["set", "set", "set", "insert", "delete", "cut", "swap"])
    odd = st.sampled_from(
        [b"\0", b"\xff", b"\x7f\xff\xff\xff", b"\xff" * 8, b"\0" * 8, b"\x80", b"\0" * 64, b"-1", b"1e999"]
    )
    return draw(
        st.lists(st.tuples(what, st.floats(0, 1), odd | st.binary(min_size=1, max_size=8)), min_size=1, max_size=4)
    )


def changed(content: bytes, changes, places=()) -> bytes:
    """The content after the changes. `places`: where it is worth it, beside anywhere."""
    for number, (what, where, piece) in enumerate(changes):
        at = int(where * len(content))
        if places and number % 4 != 3:
            at = min(len(content), places[int(where * (len(places) - 1))])
        if what == "set":
            content = content[:at] + piece + content[at + len(piece) :]
        elif what == "insert":
            content = content[:at] + piece + content[at:]
        elif what == "delete":
            content = content[:at] + content[at + len(piece) :]
        elif what == "cut":
            content = content[:at]
        else:
            content = content[:at] + content[at : at + 64][::-1] + content[at + 64 :]
    return content
