"""Small functions about numbers, left for UCoder to finish."""


def is_even(n: int) -> bool:
    """Return True if n is even.

    >>> is_even(4)
    True
    >>> is_even(7)
    False
    """


def mean(values: list[float]) -> float:
    """Return the average of the values."""
    return sum(values)


def squares(numbers: list[int]) -> list[int]:
    """Return the square of every number in the list."""
    return [n for n in numbers]
