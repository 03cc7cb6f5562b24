"""A problem and programs that solve it, for the tests of the stages."""

from __future__ import annotations

from trainer.sampling.sampler import Sample
from trainer.stages import problems
from trainer.stages.problems import Problem

TASK = "Write a function to find the second largest number of a list."
TEXT = """ Sort it.

```python
def second_largest(numbers: list[int]) -> int:
    \"\"\"Find the second largest number of a list.

    >>> second_largest([4, 9, 7])
    8
    \"\"\"
```
"""
RIGHT = "def second_largest(numbers: list[int]) -> int:\n    return sorted(numbers)[-2]\n"
ALSO = "def second_largest(numbers: list[int]) -> int:\n    xs = sorted(numbers)\n    return xs[-2]\n"


def problem() -> Problem:
    """Read the problem."""
    found = problems.read(TASK, TEXT)
    assert isinstance(found, Problem)
    return found


def sample(text: str) -> Sample:
    """Make a finished answer."""
    return Sample(text, -0.5, True)
