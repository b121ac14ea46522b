"""Write Resources/Terminology from a table of anatomies and their SNOMED CT codes.

    python tools/build_terminology.py FACTS.json

FACTS.json: {"anatomies": [{"name", "category", "type", "type_modifier", "region",
"region_modifier" (each [scheme, value, meaning] or null), "rgb" ([r, g, b] or null)}, ...]}.
Head and neck organs and colours that the table lacks are added here.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

CONTEXT = "Segmentation category and type - CTSAM3D"
SCHEMA = "https://raw.githubusercontent.com/qiicr/dcmqi/master/doc/segment-context-schema.json#"
ANATOMY = ["SCT", "123037004", "Anatomical Structure"]
ALTERED = ["SCT", "49755003", "Morphologically Altered Structure"]
SIDES = {"left": ["SCT", "7771000", "Left"], "right": ["SCT", "24028007", "Right"]}

SINGLE = {
    "brainstem": ("15926001", "Brain stem", (183, 156, 220)),
    "larynx": ("4596009", "Larynx", (150, 208, 243)),
    "mandible": ("91609006", "Mandible", (222, 198, 101)),
    "spinal_canal": ("61853006", "Spinal canal", (244, 214, 49)),
}
PAIRED = {
    "cochlea": ("80169004", "Cochlea", (122, 101, 38)),
    "eye": ("79652003", "Eyeball", (194, 142, 0)),
    "eye_lens": ("78076003", "Lens of eye", (255, 235, 150)),
    "lacrimal_gland": ("13561001", "Lacrimal gland", (82, 174, 182)),
    "lung": ("39607008", "Lung", (197, 165, 145)),
    "optic_nerve": ("18234004", "Optic nerve", (255, 234, 92)),
    "parotid_gland": ("45289007", "Parotid gland", (182, 105, 160)),
    "submandibular_gland": ("54019009", "Submandibular gland", (120, 190, 140)),
}
OTHER = {
    "tumor": (ALTERED, ["SCT", "108369006", "Neoplasm"], (144, 238, 144)),
    "tumor_soft_tissue_sarcoma": (ALTERED, ["SCT", "108369006", "Neoplasm"], (144, 238, 144)),
    "cyst": (ALTERED, ["SCT", "367643001", "Cyst"], (205, 205, 100)),
}
COLOURS = {
    "thyroid_gland": (62, 162, 114),
    "prostate": (230, 158, 140),
    "kidney_cyst": (205, 205, 100),
    "vertebrae_S1": (212, 188, 102),
    "heart": (206, 110, 84),
    "pulmonary_vein": (186, 77, 64),
    "brachiocephalic_trunk": (196, 61, 50),
    "subclavian_artery": (216, 101, 79),
    "common_carotid_artery": (224, 97, 76),
    "brachiocephalic_vein": (0, 112, 165),
    "atrial_appendage": (188, 95, 76),
    "superior_vena_cava": (0, 151, 206),
    "spinal_cord": (244, 214, 49),
    "skull": (241, 213, 144),
    "sternum": (244, 217, 154),
    "costal_cartilages": (111, 184, 210),
}
CODE_FIELDS = ("category", "type", "type_modifier", "region", "region_modifier")


def side_of(name: str) -> str | None:
    """Return left, right or None from the last word of a name."""
    word = name.rsplit("_", 1)[-1]
    return word if word in SIDES else None


def record(name: str, category: Any, kind: Any, rgb: Any, modifier: Any = None) -> dict[str, Any]:
    """Return one anatomy of this file's own list."""
    codes = dict.fromkeys(CODE_FIELDS)
    codes.update(category=category, type=kind, type_modifier=modifier)
    return {"name": name, "rgb": list(rgb), **codes}


def own_anatomies() -> list[dict[str, Any]]:
    """Return the anatomies that the table of facts does not hold."""
    found = [record(n, ANATOMY, ["SCT", v, m], rgb) for n, (v, m, rgb) in SINGLE.items()]
    for name, (value, meaning, rgb) in PAIRED.items():
        for side, modifier in SIDES.items():
            kind = ["SCT", value, meaning]
            found.append(record(f"{name}_{side}", ANATOMY, kind, rgb, modifier))
    return found + [record(n, category, kind, rgb) for n, (category, kind, rgb) in OTHER.items()]


def complete(facts: dict[str, Any]) -> list[dict[str, Any]]:
    """Return all anatomies with a colour each and only the fields used at run time."""
    anatomies = []
    for fact in facts["anatomies"]:
        name, side = fact["name"], side_of(fact["name"])
        stem = name[: -len(side) - 1] if side else name
        rgb = fact["rgb"] or COLOURS.get(name) or COLOURS[stem]
        anatomies.append({"name": name, "rgb": list(rgb), **{k: fact[k] for k in CODE_FIELDS}})
    known = {anatomy["name"] for anatomy in anatomies}
    return anatomies + [extra for extra in own_anatomies() if extra["name"] not in known]


def coded(code: list[str], rgb: list[int] | None = None) -> dict[str, Any]:
    """Return a code in the words of Slicer's terminology files."""
    scheme, value, meaning = code
    entry: dict[str, Any] = {"CodeMeaning": meaning, "CodingSchemeDesignator": scheme}
    entry["CodeValue"] = value
    if rgb is not None:
        entry["recommendedDisplayRGBValue"] = rgb
    return entry


def slicer_terminology(anatomies: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the content of the .term.json: categories, their types, their modifiers."""
    categories: dict[str, dict[str, Any]] = {}
    types: dict[tuple[str, str], dict[str, Any]] = {}
    for anatomy in anatomies:
        category, kind, modifier = (anatomy[k] for k in CODE_FIELDS[:3])
        if category[1] not in categories:
            shown = category == ALTERED
            categories[category[1]] = {**coded(category), "showAnatomy": shown, "Type": []}
        key = (category[1], kind[1])
        if key not in types:
            types[key] = coded(kind, None if modifier else anatomy["rgb"])
            types[key]["3dSlicerLabel"] = anatomy["name"]
            categories[category[1]]["Type"].append(types[key])
        if modifier:
            types[key].pop("3dSlicerLabel", None)
            types[key].setdefault("Modifier", []).append(
                {**coded(modifier, anatomy["rgb"]), "3dSlicerLabel": anatomy["name"]}
            )
    return {
        "SegmentationCategoryTypeContextName": CONTEXT,
        "@schema": SCHEMA,
        "SegmentationCodes": {"Category": list(categories.values())},
    }


def main() -> None:
    """Write both files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("facts", type=Path)
    folder = Path(__file__).resolve().parent.parent / "Resources" / "Terminology"
    anatomies = complete(json.loads(parser.parse_args().facts.read_text(encoding="utf-8")))
    rows = ",\n".join(json.dumps(anatomy) for anatomy in anatomies)
    text = f'{{"context": {json.dumps(CONTEXT)},\n"anatomies": [\n{rows}\n]}}\n'
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "anatomies.json").write_text(text, encoding="utf-8", newline="\n")
    term = json.dumps(slicer_terminology(anatomies), indent=1) + "\n"
    name = "SegmentationCategoryTypeModifier-CTSAM3D.term.json"
    (folder / name).write_text(term, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
