"""Which model `auto` serves: a function of the measurements."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ucoder_lsp.models.choose import LIMIT_S, ServableModel, choose

seconds = st.floats(0.01, 20)
sizes = st.lists(st.integers(1, 10**10), min_size=1, max_size=6, unique=True)


@st.composite
def models(draw: st.DrawFn, unknown: bool = False) -> list[ServableModel]:
    """Draw models of different sizes; with `unknown` also ones that fail or were not measured."""
    drawn = []
    for size in draw(sizes):
        line_s = draw(seconds | st.none()) if unknown else draw(seconds)
        problem = "It crashed." if unknown and draw(st.booleans()) else ""
        drawn.append(ServableModel(f"m{size}", size, line_s, problem=problem))
    return drawn


@given(models(unknown=True))
def test_never_slower_than_the_limit_if_some_model_is_not(drawn: list[ServableModel]) -> None:
    choice = choose(drawn)
    in_time = [m for m in drawn if not m.problem and m.line_s is not None and m.line_s <= LIMIT_S]
    if in_time:
        largest = max(in_time, key=lambda m: m.parameters)
        assert choice.order[0] == largest.name
    assert set(choice.order) == {m.name for m in drawn if not m.problem}
    assert choice.reason.endswith((".", "?"))


@given(models())
def test_the_fastest_is_served_where_all_are_too_slow(drawn: list[ServableModel]) -> None:
    slow = [replace(m, line_s=LIMIT_S + (m.line_s or 0)) for m in drawn]
    fastest = min(slow, key=lambda m: m.line_s or 0)
    assert choose(slow).order[0] == fastest.name


@given(models(), st.floats(0.1, 10), st.floats(0.1, 10))
def test_more_time_never_chooses_a_smaller_model_in_time(
    drawn: list[ServableModel], one: float, other: float
) -> None:
    by_name = {m.name: m for m in drawn}
    short, long = (by_name[choose(drawn, limit).order[0]] for limit in sorted((one, other)))
    if (short.line_s or 0) <= min(one, other):
        assert long.parameters >= short.parameters


@given(models(), st.data())
def test_a_faster_machine_never_chooses_a_smaller_model_in_time(
    drawn: list[ServableModel], data: st.DataObject
) -> None:
    share = data.draw(st.floats(0.01, 1))
    faster = [replace(m, line_s=(m.line_s or 0) * share) for m in drawn]
    by_name = {m.name: m for m in drawn}
    before, after = by_name[choose(drawn).order[0]], by_name[choose(faster).order[0]]
    if (before.line_s or 0) <= LIMIT_S:
        assert after.parameters >= before.parameters


def test_the_reason_is_given_in_words() -> None:
    small = ServableModel("small", 1, 0.5)
    medium = ServableModel("medium", 2, 1.25)
    large = ServableModel("large", 3, 4.12)
    assert choose([small, medium, large]).reason == (
        "medium is the largest model that answers in time here (1.2 s for a line). "
        "large would need 4.1 s for a line here, more than 3 s."
    )
    assert "`ucoder models measure large` looks for a faster kind" in (
        choose([small, replace(large, complete=False)]).reason
    )
    assert (
        "large does not run here: No memory." in choose([small, replace(large, problem="No memory.")]).reason
    )
    assert "No model answers within 3 s here; large is the fastest" in (
        choose([replace(small, line_s=9.0), large]).reason
    )
    unknown = choose([replace(small, line_s=None), replace(large, complete=False)])
    assert unknown.order == ("small", "large")
    assert unknown.reason.startswith("small is served. large would need 4.1 s")
    assert "large was not measured yet: run `ucoder models measure large`" in (
        choose([small, replace(large, line_s=None)]).reason
    )
    assert choose([small]).reason == "small is the only model here."
    assert choose([replace(small, problem="No memory.")]) == choose([replace(small, problem="No memory.")])
    assert choose([replace(small, problem="No memory.")]).order == ()
    assert choose([]).reason == "There is no model here."
