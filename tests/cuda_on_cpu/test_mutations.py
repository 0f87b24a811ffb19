"""The tests of the kernels notice faults: every mutation of mutations.py that can be noticed is."""

import pytest

from .mutations import MUTATIONS, caught_by
from .test_sanitizers import sanitized, why_not

SAYS = {"thread": "data race", "address": "heap-buffer-overflow"}
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("emulator")]


@pytest.mark.parametrize("mutation", [m for m in MUTATIONS if not (m.needs or m.harmless or m.beyond)], ids=str)
def test_is_caught(mutation):
    assert caught_by(mutation)


@pytest.mark.parametrize("number", [i for i, m in enumerate(MUTATIONS) if m.needs], ids=lambda i: str(MUTATIONS[i]))
def test_is_caught_under_a_sanitizer(number):
    needed = MUTATIONS[number].needs
    if reason := why_not(needed):
        pytest.skip(reason)
    done = sanitized(needed, "-m", "tests.cuda_on_cpu.mutations", "--number", str(number), seconds=600)
    assert done.returncode != 0
    assert SAYS[needed] in done.stdout + done.stderr
