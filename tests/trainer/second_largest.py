"""One problem as the model states it, for the tests of the stages."""

from __future__ import annotations

from trainer.sampling.sampler import Sample
from trainer.stages.problems import Problem, parse_problem

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


def problem() -> Problem:
    """As it is read."""
    found = parse_problem(TASK, TEXT)
    assert isinstance(found, Problem)
    return found


def sample(text: str) -> Sample:
    """An answer that came to its end."""
    return Sample(text, -0.5, True)
