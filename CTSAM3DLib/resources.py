"""Finding the data files that are installed beside the library."""

from __future__ import annotations

from pathlib import Path

from CTSAM3DLib.errors import CTSAM3DError

TERM_FILE = "Terminology/SegmentationCategoryTypeModifier-CTSAM3D.term.json"
"""Our anatomies as Slicer reads them."""

_PACKAGE = Path(__file__).resolve().parent


def resource_folders(package_folder: Path = _PACKAGE) -> tuple[Path, ...]:
    """Return the folders that may hold resources, the most likely one first.

    A checkout has ``<repository>/Resources`` beside ``<repository>/CTSAM3DLib``; Slicer installs
    both into one folder, so that the same rule fits. A wheel may carry the files inside the
    package.

    Examples
    --------
    >>> [folder.name for folder in resource_folders(Path("/x/CTSAM3DLib"))]
    ['Resources', 'Resources']
    """
    return (package_folder.parent / "Resources", package_folder / "Resources")


def resource_path(relative: str, package_folder: Path = _PACKAGE) -> Path:
    """Return the full path of a file below ``Resources``, such as ``Models/models.json``.

    Raises CTSAM3DError: no resource folder holds it; the text names every place that was tried.

    Examples
    --------
    >>> resource_path("Terminology/anatomies.json").name
    'anatomies.json'
    """
    tried = [folder / relative for folder in resource_folders(package_folder)]
    for path in tried:
        if path.exists():
            return path
    places = ", ".join(str(path) for path in tried)
    raise CTSAM3DError(f"the resource {relative!r} is missing; looked at {places}")
