"""Stand-in for `slicer.i18n`: texts stay in English."""

from __future__ import annotations


def tr(text: str) -> str:
    """Return the text."""
    return text


def translate(context: str, text: str) -> str:
    """Return the text."""
    return text
