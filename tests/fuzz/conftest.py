"""One forge for all fuzz tests, and what became of the cases at the end."""

import pytest
from cases import TALLY, Forge


@pytest.fixture(scope="session")
def forge():
    """Tries cases."""
    made = Forge()
    yield made
    made.close()


def pytest_terminal_summary(terminalreporter):
    """The table of the documentation."""
    if not TALLY:
        return
    terminalreporter.section("fuzz")
    for kind in sorted({kind for kind, _ in TALLY}):
        counts = {outcome: count for (of, outcome), count in sorted(TALLY.items()) if of == kind}
        told = ", ".join(f"{outcome} {count:,}" for outcome, count in counts.items())
        terminalreporter.line(f"{kind}: {sum(counts.values()):,} cases: {told}")
    terminalreporter.line(f"{sum(TALLY.values()):,} cases")
