"""Small functions about text, left for UCoder to finish."""


def is_palindrome(text: str) -> bool:
    """Return True if text reads the same backwards."""


def longest(words: list[str]) -> str:
    """Return the longest word."""
    return max(words)
