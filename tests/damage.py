"""Changes to the bytes of a file, for tests that damage one, and how many of them to try."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

QUICK = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck), database=None)
LONG = settings(QUICK, max_examples=20_000)

CHANGES = st.lists(
    st.tuples(st.sampled_from(["set", "cut", "insert", "double"]), st.integers(0, 10**6), st.binary(max_size=12)),
    min_size=1, max_size=4,
)  # fmt: skip


def changed(data, changes):
    for kind, place, content in changes:
        place %= len(data) + 1
        if kind == "set":
            data = data[:place] + content + data[place + len(content) :]
        elif kind == "cut":
            data = data[:place] + data[place + len(content) :]
        elif kind == "insert":
            data = data[:place] + content + data[place:]
        else:
            data = data[:place] + data[max(0, place - len(content)) :]
    return data
