"""Which samples compete: only finished ones, where any finished."""

from __future__ import annotations

from tests.support.cursor import asked, at
from ucoder_lsp.completion.forms import Form
from ucoder_lsp.completion.insertable import UNFINISHED, Insertable, insertable_texts
from ucoder_lsp.engine.types import Candidate, Finish

BODY = 'def f(x):\n    """Doc."""\n    |\n'


def sorted_out(marked: str, *samples: tuple[str, Finish]) -> tuple[Insertable, list[str]]:
    context = at(marked)
    candidates = [Candidate(text, (), (), finish) for text, finish in samples]
    found, dropped = insertable_texts(candidates, context, asked(context, form=Form.FILL, begun_line=""))
    return found, [sample.reason for sample in dropped]


def texts(found: Insertable) -> list[str]:
    return [text.text for text in found.texts]


def test_a_sample_that_was_cut_off_does_not_compete_with_a_finished_one() -> None:
    found, dropped = sorted_out(
        BODY,
        ("    return x", Finish.STOP),
        ("    y = x\n    return y", Finish.LENGTH),
        ("    return x + y", Finish.DEADLINE),
    )
    assert texts(found) == ["return x"]
    assert found.finished
    assert dropped == [UNFINISHED, UNFINISHED]


def test_where_none_ended_whole_statements_are_left() -> None:
    found, dropped = sorted_out(
        BODY,
        ("    y = x\n    if y:\n        y = 2\n    return fo", Finish.LENGTH),
        ("    y = [\n        1,\n", Finish.DEADLINE),
        ("    return x", Finish.LENGTH),
    )
    assert texts(found) == ["y = x\n    if y:\n        y = 2"]
    assert not found.finished
    assert dropped == [UNFINISHED, UNFINISHED]


def test_a_finished_sample_that_fits_nowhere_leaves_the_field_to_the_others() -> None:
    found, dropped = sorted_out(BODY, ("def g(): 1\n", Finish.STOP), ("    y = x\n    retu", Finish.LENGTH))
    assert texts(found) == ["y = x"]
    assert not found.finished
    assert dropped == ["does not fit here"]


def test_in_brackets_a_candidate_must_close_what_it_opens() -> None:
    marked = 'DAYS = [\n    "Monday",\n    |\n]\n'
    found, dropped = sorted_out(marked, ('    "Tuesday",', Finish.STOP), ('    "Tuesday', Finish.STOP))
    assert texts(found) == ['"Tuesday",']
    assert dropped == ["does not parse"]
