"""A class with a method left for UCoder to finish."""


class Stack:
    """A last-in, first-out collection of whole numbers."""

    def __init__(self, items: list[int]) -> None:
        self.items = list(items)

    def push(self, item: int) -> None:
        """Put an item on top."""

    def size(self) -> int:
        """Return the number of items."""
        return len(self.items)
