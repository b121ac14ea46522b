"""Who drew the labels of a case, by ``label_origin`` of its ``meta.json``."""

from __future__ import annotations


def is_human(label_origin: str) -> bool:
    """Return whether people drew the labels: the text begins with ``human``.

    Examples
    --------
    >>> is_human("Human (clinical contours)"), is_human("model output (human-corrected)")
    (True, False)
    """
    return label_origin.strip().lower().startswith("human")
