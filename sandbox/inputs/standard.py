"""Define example values of the standard library's types, and of numpy and pandas where installed.

Each is an expression that the jail evaluates, most ordinary first. Edge values are among them: a leap day, the last
second of a day, zero, a negative duration, an empty file.
"""

from __future__ import annotations

from sandbox.inputs.kinds import Kind
from sandbox.inputs.names import Names
from sandbox.program import Built

_VALUES: dict[str, tuple[str, str]] = {
    "datetime.date": (
        "datetime.date",
        "(2024, 6, 14);(2024, 6, 15);(2024, 6, 16);(2024, 2, 29);(2023, 12, 31);(2024, 1, 1);"
        "(2023, 2, 28);(1999, 7, 5)",
    ),
    "datetime.datetime": (
        "datetime.datetime",
        "(2024, 6, 14, 9, 30);(2024, 6, 15, 23, 59, 59);(2024, 2, 29, 0, 0);(2023, 12, 31, 12, 0);"
        "(2024, 1, 1, 8, 5, 7);(2024, 6, 16, 18, 45);(1999, 7, 5, 13, 0, 0, 500000)",
    ),
    "datetime.time": ("datetime.time", "(9, 30);(0, 0);(23, 59, 59);(12, 0);(13, 5, 7)"),
    "datetime.timedelta": (
        "datetime.timedelta",
        "(hours=1, minutes=30);(0);(days=1);(seconds=59);(days=2, hours=3, seconds=4);(minutes=-5);(days=400)",
    ),
    "datetime.tzinfo": ("datetime.timezone.utc", ""),
    "datetime.timezone": ("datetime.timezone.utc", ""),
    "pathlib.Path": (
        "pathlib.Path",
        "('data/report.csv');('notes.txt');('archive.tar.gz');('/home/user/Photo.JPG');('.');('.hidden');"
        "('README');('a/../b/c.txt')",
    ),
    "decimal.Decimal": ("decimal.Decimal", "('19.99');('0');('1');('-2.5');('0.005');('100.00');('2.675')"),
    "fractions.Fraction": ("fractions.Fraction", "(1, 2);(0);(3);(-3, 4);(7, 3);(10, 4)"),
    "uuid.UUID": ("uuid.UUID", "('12345678-1234-5678-1234-567812345678');(int=0);(int=1)"),
    "re.Pattern": ("re.compile", "('[a-z]+');('a');('[0-9]+');('^x*$');(',')"),
    "re.Match": ("re.match", "('([a-z]+)', 'abc 12');('(.)(.)', 'xy')"),
    "io.StringIO": ("io.StringIO", "('one\\ntwo\\n');('');('a,b\\n1,2\\n3,4\\n');('one');('3 1 2\\n\\nx')"),
    "io.BytesIO": ("io.BytesIO", "(b'one\\ntwo\\n');(b'');(b'abc');(b'\\x00\\x01\\xff')"),
    "logging.Logger": ("logging.getLogger", "('test')"),
    "random.Random": ("random.Random", "(0);(1);(42)"),
    "builtins.bytearray": ("bytearray", "(b'abc');(b'');(b'\\x00\\xff')"),
    "builtins.memoryview": ("memoryview", "(b'abc');(b'');(b'\\x00\\xff')"),
    "builtins.range": ("range", "(5);(0);(1, 10, 3);(5, 0, -1)"),
    "builtins.slice": ("slice", "(1, 3);(None);(None, None, 2);(-2, None)"),
    "builtins.complex": ("complex", "(1, 2);(0);(-1.5, 0.5);(3)"),
    "builtins.Exception": ("ValueError", "('wrong value');('')"),
    "numpy.ndarray": (
        "numpy.array",
        "([1, 2, 3]);([1.5, -2.0, 0.0, 4.0]);([[1, 2], [3, 4]]);([5]);([3, 1, 2, 2]);"
        "([[0.5, 1.0, 2.0], [1.0, 0.0, -1.0]])",
    ),
    "pandas.Series": ("pandas.Series", "([1, 2, 3]);([1.5, -2.0, 0.0]);([5]);([3, 1, 2, 2])"),
}  # fmt: skip
"""By type: what is called, and its arguments, separated by semicolons."""

_SAME = {
    "typing.Pattern": "re.Pattern", "typing.Match": "re.Match", "typing.TextIO": "io.StringIO",
    "io.TextIOBase": "io.StringIO", "io.TextIOWrapper": "io.StringIO", "typing.BinaryIO": "io.BytesIO",
    "io.BufferedReader": "io.BytesIO", "io.RawIOBase": "io.BytesIO", "io.BufferedIOBase": "io.BytesIO",
    "typing.IO": "io.StringIO", "pathlib.PurePath": "pathlib.Path", "pathlib.PosixPath": "pathlib.Path",
    "os.PathLike": "pathlib.Path",
    "numpy.typing.NDArray": "numpy.ndarray", "builtins.BaseException": "builtins.Exception",
}  # fmt: skip


def kind_of_origin(origin: str, names: Names) -> Kind | None:
    """Return the kind of a type by its dotted origin, such as `datetime.date`; None for an unknown type.

    A name that the document does not import may be that of a builtin, or of a type in the table.
    """
    if "." not in origin:
        candidates = (name for name in (*_VALUES, *_SAME) if name.rpartition(".")[2] == origin)
        origin = f"builtins.{origin}" if f"builtins.{origin}" in _VALUES else next(candidates, origin)
    origin = _SAME.get(origin, origin)
    if origin not in _VALUES:
        return None
    called, arguments = _VALUES[origin]
    spelled, modules = names.spelling(called) if "." in called else (called, ())
    return Kind("choice", choices=tuple(Built(spelled + text, modules) for text in arguments.split(";")))
