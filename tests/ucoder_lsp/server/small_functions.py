"""The small everyday functions that the model must write, with hidden tests.

The server never sees the tests. All functions were chosen before any of them was tried.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Task:
    """A signature with a docstring, and calls with their expected results."""

    name: str
    stub: str
    cases: tuple[tuple[tuple[Any, ...], Any], ...]


TASKS = (
    Task("is_even", 'def is_even(n: int) -> bool:\n    """Return True if n is even."""\n',
         (((4,), True), ((7,), False), ((0,), True), ((-3,), False))),
    Task("add", 'def add(a: int, b: int) -> int:\n    """Return the sum of a and b."""\n',
         (((1, 2), 3), ((-5, 5), 0), ((10, -4), 6))),
    Task("maximum", 'def maximum(a: int, b: int) -> int:\n    """Return the larger of a and b."""\n',
         (((1, 2), 2), ((5, -5), 5), ((3, 3), 3))),
    Task("reverse", 'def reverse(text: str) -> str:\n    """Return text reversed."""\n',
         ((("abc",), "cba"), (("",), ""), (("xy z",), "z yx"))),
    Task("is_palindrome",
         'def is_palindrome(text: str) -> bool:\n    """Return True if text reads the same backwards."""\n',
         ((("abba",), True), (("abc",), False), (("",), True))),
    Task("squares",
         'def squares(numbers: list[int]) -> list[int]:\n    """Return the square of every number in the list."""\n',
         ((([1, 2, -3],), [1, 4, 9]), (([],), []))),
    Task("mean", 'def mean(numbers: list[float]) -> float:\n    """Return the average of the numbers."""\n',
         ((([1.0, 2.0, 3.0],), 2.0), (([4.5],), 4.5))),
    Task("multiply", 'def multiply(a: int, b: int) -> int:\n    """Return the product of a and b."""\n',
         (((3, 4), 12), ((-2, 5), -10), ((0, 9), 0))),
    Task("count_words", 'def count_words(text: str) -> int:\n    """Return the number of words in text."""\n',
         ((("a bc d",), 3), (("hello",), 1))),
    Task("is_positive", 'def is_positive(n: int) -> bool:\n    """Return True if n is greater than zero."""\n',
         (((4,), True), ((0,), False), ((-3,), False))),
    Task("to_upper", 'def to_upper(text: str) -> str:\n    """Return text in upper case."""\n',
         ((("abc",), "ABC"), (("aB1",), "AB1"))),
    Task("total", 'def total(numbers: list[int]) -> int:\n    """Return the sum of all numbers."""\n',
         ((([1, 2, 3],), 6), (([],), 0), (([-1],), -1))),
    Task("absolute", 'def absolute(n: int) -> int:\n    """Return the absolute value of n."""\n',
         (((4,), 4), ((-4,), 4), ((0,), 0))),
    Task("largest", 'def largest(numbers: list[int]) -> int:\n    """Return the largest number in the list."""\n',
         ((([1, 5, 3],), 5), (([-2, -7],), -2))),
    Task("last_item", 'def last_item(items: list[int]) -> int:\n    """Return the last item of the list."""\n',
         ((([1, 2, 3],), 3), (([9],), 9))),
    Task("area", 'def area(width: float, height: float) -> float:\n    """Return the area of a rectangle."""\n',
         (((2.0, 3.0), 6.0), ((0.5, 4.0), 2.0))),
)  # fmt: skip
