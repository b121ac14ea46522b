"""List the packages that ``requirements/`` pins, as a software bill of materials.

``python tools/sbom.py FILE`` writes CycloneDX 1.6 as JSON; ``make release`` does the same.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from check_extension import REPOSITORY, version

SUFFIX = ".cdx.json"
_LOCK = "hashes.lock"
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^;\s]+)\s*(?:;\s*(.+))?$")


def bill(repository: Path = REPOSITORY) -> dict[str, object]:
    """Return the bill: each pinned package once for each version, with where it is needed.

    Raises
    ------
    ValueError
        A line is neither a pin, a comment nor ``-r``.
    """
    components = _components(repository)
    program = f"CT-SAM3D@{version(repository)}"
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": program,
                "name": "CT-SAM3D",
                "version": version(repository),
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            }
        },
        "components": components,
        "dependencies": [{"ref": program, "dependsOn": [part["bom-ref"] for part in components]}],
    }


def _components(repository: Path) -> list[dict[str, object]]:
    """Return the pinned packages, each once for each version.

    A package of ``runtime.txt`` is required; those of the other files are for developers or come
    with others, which is the scope ``optional``.
    """
    found: dict[str, dict[str, object]] = {}
    files = sorted((repository / "requirements").glob("*.txt"))
    for path in sorted(files, key=lambda path: path.name != "runtime.txt"):
        file = path.name
        for line in path.read_text(encoding="utf-8").splitlines():
            if not line.strip() or line.startswith(("#", "-r ")):
                continue
            pin = _PIN.match(line.strip())
            if pin is None:
                raise ValueError(f"requirements/{file}: expected name==version, got {line!r}")
            name = re.sub(r"[-_.]+", "-", pin[1]).lower()
            purl = f"pkg:pypi/{name}@{pin[2].replace('+', '%2B')}"
            properties = [{"name": "requirements", "value": file}]
            if pin[3]:
                properties.append({"name": "marker", "value": pin[3]})
            scope = "required" if file == "runtime.txt" else "optional"
            part = {"type": "library", "bom-ref": purl, "name": name, "version": pin[2]}
            found.setdefault(purl, {**part, "purl": purl, "scope": scope, "properties": properties})
    return list(found.values())


def hash_faults(repository: Path = REPOSITORY) -> list[str]:
    """Return where the checksums in ``requirements/hashes.lock`` are not those of the pins."""
    text = (repository / "requirements" / _LOCK).read_text(encoding="utf-8")
    text = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    locked = {}
    for line in text.splitlines():
        name, _, rest = line.partition("==")
        sums = re.findall(r"--hash=sha256:([0-9a-f]{64})(?:\s|$)", rest)
        locked[name, re.split(r"[\s;]", rest)[0]] = sums
    pinned = {(str(part["name"]), str(part["version"])) for part in _components(repository)}
    missing = [f"{n}=={v} is pinned" for n, v in sorted(pinned) if not locked.get((n, v))]
    other = [f"{n}=={v} is not pinned" for n, v in sorted(locked.keys() - pinned)]
    where = f"requirements/{_LOCK}: expected checksums of what is pinned"
    return [f"{where}; {fault}" for fault in missing + other]


def write_bill(file: Path, repository: Path = REPOSITORY) -> None:
    """Write the bill; the same pins give the same file."""
    file.write_text(json.dumps(bill(repository), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_bill(Path(sys.argv[1]))
