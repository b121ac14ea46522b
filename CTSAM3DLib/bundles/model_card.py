"""The card of a model: licence, training data and quality, as JSON next to a training run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from CTSAM3DLib.errors import BundleError
from CTSAM3DLib.io.text import readable_json

_KEYS = ("licence", "training_data", "quality")


def official_card(variant: str, source: Mapping[str, Any]) -> dict[str, Any]:
    """Return the manifest entries of a model made of the authors' weights; `source` is the file."""
    licence = "see the checkpoint's own licence"
    data = {
        "name": "TotalSeg++, based on TotalSegmentator, as the abstract of the paper says",
        "licence": licence,
        "url": "https://arxiv.org/abs/2403.15063",
    }
    card = {"licence": licence, "training_data": [data], "variant": variant}
    return {**card, "source": dict(source)}


def read_card(path: Path) -> dict[str, Any]:
    """Read the card of a model: entries for the manifest.

    JSON: ``licence`` of the weights, ``training_data`` (a list of objects with ``name``,
    ``licence`` and, if wanted, ``url``) and optionally ``quality`` (any object). Raises
    BundleError: the file cannot be read, an entry is missing, unknown or of another form.
    """
    card = readable_json(path, "a readable JSON file", BundleError)
    if not isinstance(card, Mapping) or not {*_KEYS[:2]} <= set(card) <= set(_KEYS):
        got = sorted(card) if isinstance(card, Mapping) else type(card).__name__
        message = f"{path}: expected the keys licence, training_data and optionally quality"
        raise BundleError(f"{message}, got {got}")
    _check_text(card["licence"], f'{path}: "licence"')
    data = card["training_data"]
    if not isinstance(data, list):
        raise BundleError(f'{path}: "training_data": expected a list of objects, got {data!r:.80}')
    for number, item in enumerate(data, start=1):
        what = f"{path}: training data {number}"
        if not isinstance(item, Mapping) or not {"name", "licence"} <= set(item):
            got = sorted(item) if isinstance(item, Mapping) else repr(item)[:80]
            raise BundleError(f"{what}: expected an object with name and licence, got {got}")
        for key, value in item.items():
            _check_text(value, f'{what}, "{key}"')
    if not isinstance(card.get("quality", {}), Mapping):
        raise BundleError(f'{path}: "quality": expected an object, got {card["quality"]!r:.80}')
    return dict(card)


def _check_text(value: Any, what: str) -> None:
    if not isinstance(value, str) or not value.strip():
        raise BundleError(f"{what}: expected text, got {value!r:.80}")
