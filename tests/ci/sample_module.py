"""A small module of a project, for tests that change it."""

SOURCE = '''\
"""Doc."""
import os

RATE = 7


def helper(n: int) -> int:
    """Twice n."""
    double: int = n * 2
    return double


def public(values: list[int]) -> list[int]:
    return [helper(v) for v in values]


class Box:
    size = 3

    def area(self) -> int:
        return self.size * RATE

    def _secret(self):
        return self.area()
'''
