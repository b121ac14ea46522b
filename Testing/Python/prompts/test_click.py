"""Clicks: what they accept, what a change gives, and the text that goes into a segment tag."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from CTSAM3DLib.errors import ClicksFileError, GeometryError
from CTSAM3DLib.prompts import Box, Click, ClickHistory, Lasso, Scribble, volume_id_from_json

COORDINATE = st.floats(allow_nan=False, allow_infinity=False)
CLICKS = st.builds(Click, st.tuples(COORDINATE, COORDINATE, COORDINATE), st.booleans())


def test_a_numpy_position_becomes_plain_floats() -> None:
    click = Click(np.array([1, 2, 3], dtype=np.float32), np.bool_(False))
    assert click == Click((1.0, 2.0, 3.0), False)
    assert {type(value) for value in click.position_ras} == {float}
    assert type(click.positive) is bool


@pytest.mark.parametrize(
    "position",
    [(1, 2), (1, 2, 3, 4), (1, 2, math.nan), (1, math.inf, 3), ("1", "2", "3"), "123", None, 5],
)
def test_a_bad_position_is_refused(position: object) -> None:
    with pytest.raises(GeometryError, match="a click needs 3"):
        Click(position)  # type: ignore[arg-type]


@pytest.mark.parametrize("given", ["outside", "False", None, math.nan, -1, 2, [], np.ones(2)])
def test_a_sign_that_is_none_is_refused(given: object) -> None:
    line = [(0, 0, 0), (9, 0, 0), (9, 9, 0)]
    for kind, place in ((Click, (1, 2, 3)), (Scribble, line), (Lasso, line), (Box, (0, 0, 0))):
        rest = ([(9, 0, 0), (0, 9, 0), (0, 0, 9)],) if kind is Box else ()
        with pytest.raises(GeometryError, match=f"a {kind.kind} is positive or not: .*, got"):
            kind(place, *rest, given)


@pytest.mark.parametrize("given", [True, 1, 1.0, np.int8(1), np.True_])
def test_numbers_may_be_a_sign(given: object) -> None:
    assert Click((1, 2, 3), given).positive is True  # type: ignore[arg-type]


def test_a_history_never_changes() -> None:
    first, second = Click((1, 2, 3)), Click((4, 5, 6), False)
    empty = ClickHistory()
    one = empty.added(first)
    two = one.added(second)
    assert (len(empty), len(one), len(two)) == (0, 1, 2)
    assert two.removed(0) == ClickHistory([second]) == two.removed(-2)
    assert two.positives() == (first,)
    assert two.negatives() == (second,)
    assert list(two) == [first, second]
    assert two[:1] == one
    assert hash(two.removed(1)) == hash(one)


@pytest.mark.parametrize("index", [2, -3])
def test_removing_a_click_that_is_not_there_is_an_error(index: int) -> None:
    history = ClickHistory([Click((0, 0, 0)), Click((1, 1, 1))])
    with pytest.raises(IndexError, match="the list holds 2"):
        history.removed(index)


def test_a_list_holds_prompts_only() -> None:
    with pytest.raises(TypeError, match="item 0: expected a prompt, got tuple"):
        ClickHistory([(1, 2, 3)])  # type: ignore[list-item]


def test_the_tag_text_is_the_documented_one() -> None:
    history = ClickHistory([Click((1, -2.5, 3)), Click((4, 5, 6), False)])
    rows = (
        '{"kind":"click","position":[1.0,-2.5,3.0],"positive":true},'
        '{"kind":"click","position":[4.0,5.0,6.0],"positive":false}'
    )
    assert history.to_json("CT") == f'{{"version":2,"volume":"CT","prompts":[{rows}]}}'


def test_the_tags_of_scenes_that_were_saved_with_clicks_alone_are_read() -> None:
    text = '{"version":1,"volume":"CT","clicks":[[1.0,-2.5,3.0,1],[4.0,5.0,6.0,0]]}'
    expected = ClickHistory([Click((1, -2.5, 3)), Click((4, 5, 6), False)])
    assert ClickHistory.from_json(text) == expected
    assert volume_id_from_json(text) == "CT"


@given(st.lists(CLICKS, max_size=5), st.none() | st.text())
def test_the_tag_text_is_one_line_without_bars_and_exact(
    clicks: list[Click], volume_id: str | None
) -> None:
    text = ClickHistory(clicks).to_json(volume_id)
    assert "|" not in text
    assert len(text.splitlines()) == 1
    rows = json.loads(text)["prompts"]
    assert [tuple(row["position"]) for row in rows] == [click.position_ras for click in clicks]
    assert [row["positive"] for row in rows] == [click.positive for click in clicks]
    assert ClickHistory.from_json(text) == ClickHistory(clicks)
    assert volume_id_from_json(text) == volume_id


def v2(row: str) -> str:
    return f'{{"version":2,"prompts":[{row}]}}'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected the clicks as JSON"),
        ("[]", 'expected a JSON object with "version": 1'),
        ('{"version":3,"prompts":[]}', 'expected a JSON object with "version": 1 or 2'),
        ('{"version":true,"clicks":[]}', 'expected a JSON object with "version": 1 or 2'),
        ('{"version":2,"clicks":[]}', 'expected a list under "prompts", got NoneType'),
        ('{"version":2,"prompts":[3]}', 'prompt 0: expected an object with "kind" click'),
        (v2('{"kind":"tube","positive":true}'), 'prompt 0: expected an object with "kind" click'),
        (v2('{"kind":"click","position":[1,2,3]}'), 'expected "positive" true or false, got None'),
        (v2('{"kind":"click","positive":true}'), "prompt 0: expected the key 'position'"),
        (v2('{"kind":"click","position":[1,2],"positive":true}'), "prompt 0: a click needs 3 fin"),
        (v2('{"kind":"click","position":7,"positive":true}'), "prompt 0: a click needs 3 numbers"),
        ('{"version":1}', 'expected a list under "clicks", got NoneType'),
        ('{"version":1,"clicks":[[1,2,3,1],[1,2,3]]}', r"click 1: expected \[r, a, s, 1 or 0\]"),
        ('{"version":1,"clicks":[[1,2,3,2]]}', r"click 0: expected \[r, a, s, 1 or 0\]"),
        ('{"version":1,"clicks":[[1,NaN,3,1]]}', "click 0: a click needs 3 finite numbers"),
        ('{"version":1,"clicks":[["a",2,3,1]]}', "click 0: a click needs 3 numbers"),
    ],
)
def test_damaged_tag_text_is_refused(text: str, message: str) -> None:
    with pytest.raises(ClicksFileError, match=message):
        ClickHistory.from_json(text)


def test_a_volume_id_that_is_not_text_is_refused() -> None:
    with pytest.raises(ClicksFileError, match='text or null under "volume", got 7'):
        volume_id_from_json('{"version":1,"volume":7,"clicks":[]}')
