"""Who drew the labels: evaluation and training read it in the same way."""

from __future__ import annotations

import pytest

from CTSAM3DLib.evaluation.label_origin import is_human


@pytest.mark.parametrize(
    ("origin", "human"),
    [
        ("human (clinical radiotherapy contours)", True),
        ("Human, two readers", True),
        ("dataset of humans (human-corrected model output)", False),
        ("model-made, checked by human (one reader)", False),
        ("rule-made", False),
        ("", False),
    ],
)
def test_labels_are_human_when_their_origin_begins_so(origin, human):
    assert is_human(origin) is human
