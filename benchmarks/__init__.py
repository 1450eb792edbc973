"""What the project measures itself against: `python -m benchmarks list`.

A benchmark runs ours and its peer (or its bound) in the same run and compares by a ratio; it passes on counts and
ratios, never on seconds. It ends every process that it started, by its id. What cannot be measured here is said in one
sentence, with exit code 69.
"""

import sys
from pathlib import Path

# The harness of the real cluster is a package of the tests.
sys.path.append(str(Path(__file__).parents[1] / "tests"))
