"""The benchmark: this registry and a peer, side by side in one run on one machine (`make bench`).

`python -m bench --list` names the measurements; each is a file in `measurements`, which says what it measures and how.
"""

import sys
from pathlib import Path

# Servers are started, and certificates made, by the code that does it for the tests.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
