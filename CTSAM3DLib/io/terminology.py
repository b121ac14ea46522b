"""Anatomies by name: display colour and SNOMED CT codes for Slicer segments."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from CTSAM3DLib.errors import CTSAM3DError
from CTSAM3DLib.resources import resource_path

Code = tuple[str, str, str]
"""Coding scheme, value and meaning, for example ("SCT", "10200004", "Liver")."""

ANATOMIES_FILE = "Terminology/anatomies.json"

_REGION_CONTEXT = "Anatomic codes - DICOM master list"
_TISSUE: Code = ("SCT", "85756007", "Tissue")
_FREE_COLOURS = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (213, 94, 0),
    (204, 121, 167),
    (150, 140, 255),
    (170, 220, 120),
)


@dataclass(frozen=True)
class Anatomy:
    """One anatomy that Slicer can name."""

    name: str  # Name as in TotalSegmentator, for example ``kidney_left``
    label: str  # The same for people, for example ``Left kidney``
    rgb: tuple[int, int, int]  # Display colour, 0 to 255
    # category, type, type_modifier, region, region_modifier: Code triples (scheme, value,
    # meaning)
    category: Code
    type: Code
    type_modifier: Code | None
    region: Code | None
    region_modifier: Code | None
    context: str  # Name of the terminology that holds the codes

    @property
    def terminology_entry(self) -> str:
        """The seven parts that Slicer keeps in the tag ``TerminologyEntry``, joined by ``~``.

        Examples
        --------
        >>> find("liver").terminology_entry.split("~")[2]
        'SCT^10200004^Liver'
        """
        codes = (self.category, self.type, self.type_modifier)
        about = (self.region, self.region_modifier)
        parts = [self.context, *map(_joined, codes), _REGION_CONTEXT, *map(_joined, about)]
        return "~".join(parts)


@lru_cache(maxsize=1)
def anatomies() -> Mapping[str, Anatomy]:
    """Return every known anatomy by its name (read-only).

    Raises CTSAM3DError: the data file is missing or damaged.

    Examples
    --------
    >>> anatomies()["kidney_left"].label
    'Left kidney'
    >>> anatomies()["kidney_left"].type_modifier
    ('SCT', '7771000', 'Left')
    """
    path = resource_path(ANATOMIES_FILE)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        context = str(content["context"])
        found = {row["name"]: _anatomy(row, context) for row in content["anatomies"]}
    except (ValueError, KeyError, TypeError) as error:
        raise CTSAM3DError(f"{path} is not a table of anatomies: {error!r}") from error
    return MappingProxyType(found)


def find(name: str) -> Anatomy | None:
    """Return the anatomy of a name such as ``Left kidney`` or ``Kidney-Left``, None for others.

    Upper and lower case, spaces, hyphens and the order of the words do not matter.

    Examples
    --------
    >>> find("Left Kidney").name
    'kidney_left'
    >>> find("my lesion") is None
    True
    """
    return anatomies().get(name) or _by_words().get(_words(name))


def meant(name: str) -> str | None:
    """Return the anatomy that a name with a slip of the pen means; None if it is one, or like none.

    Examples
    --------
    >>> meant("splen"), meant("Left kidny"), meant("spleen"), meant("spleen 2"), meant("lesion")
    ('spleen', 'kidney_left', None, None, None)
    """
    if find(name) is not None:
        return None
    plain = "_".join(sorted(_words(name)))
    known = {"_".join(sorted(words)): anatomy.name for words, anatomy in _by_words().items()}
    for close in get_close_matches(plain, known, n=1, cutoff=0.85):
        if re.findall(r"\d+", close) == re.findall(r"\d+", plain):  # "spleen 2" is no slip
            return known[close]
    return None


def terminology_entry(name: str) -> str:
    """Return the Slicer terminology of a structure; plain tissue when the name is unknown.

    Examples
    --------
    >>> terminology_entry("my lesion").split("~")[2]
    'SCT^85756007^Tissue'
    """
    anatomy = find(name)
    if anatomy is not None:
        return anatomy.terminology_entry
    context = "Segmentation category and type - 3D Slicer General Anatomy list"
    tissue = _joined(_TISSUE)
    return "~".join((context, tissue, tissue, "^^", _REGION_CONTEXT, "^^", "^^"))


def colour(name: str) -> tuple[int, int, int]:
    """Return the display colour of a structure, 0 to 255; the same name, the same colour.

    Examples
    --------
    >>> colour("liver")
    (221, 130, 101)
    >>> colour("my lesion") == colour("my lesion")
    True
    """
    anatomy = find(name)
    if anatomy is not None:
        return anatomy.rgb
    return _FREE_COLOURS[zlib.crc32(name.encode("utf-8", "replace")) % len(_FREE_COLOURS)]


def _joined(code: Code | None) -> str:
    """Return scheme^value^meaning, ``^^`` for no code."""
    return "^".join(code or ("", "", ""))


def _code(values: Any) -> Code | None:
    if values is None:
        return None
    scheme, value, meaning = values
    return str(scheme), str(value), str(meaning)


def _anatomy(row: Mapping[str, Any], context: str) -> Anatomy:
    category, kind = _code(row["category"]), _code(row["type"])
    if category is None or kind is None:
        raise ValueError(f"{row['name']} lacks a category or a type")
    modifier, region = _code(row["type_modifier"]), _code(row["region"])
    red, green, blue = (int(value) for value in row["rgb"])
    return Anatomy(
        name=row["name"],
        label=_label(row["name"]),
        rgb=(red, green, blue),
        category=category,
        type=kind,
        type_modifier=modifier,
        region=region,
        region_modifier=_code(row["region_modifier"]),
        context=context,
    )


def _label(name: str) -> str:
    """Return a name with its side first: kidney_left gives Left kidney."""
    words = name.split("_")
    sides = [word for word in words if word in ("left", "right")]
    text = " ".join(sides + [word for word in words if word not in sides])
    return text[:1].upper() + text[1:]


def _words(name: str) -> frozenset[str]:
    """Return the words of a name, whatever their order and case."""
    plain = name.lower().replace("_", " ").replace("-", " ")
    words = plain.split()
    return frozenset("vertebrae" if word == "vertebra" else word for word in words)


@lru_cache(maxsize=1)
def _by_words() -> Mapping[frozenset[str], Anatomy]:
    return {_words(name): anatomy for name, anatomy in anatomies().items()}
