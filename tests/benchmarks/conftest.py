"""The benchmarks are no part of the package: they are imported from the checkout."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))  # last: gdengine stays the one that is installed
