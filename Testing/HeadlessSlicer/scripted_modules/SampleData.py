"""Stand-in for Slicer's module SampleData: keeps what is registered, downloads nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import slicer

CHECKSUM_START = ("SHA256:", "MD5:")


@dataclass
class SampleDataSource:
    """One data set."""

    sampleName: str | None = None
    uris: list[str] = field(default_factory=list)
    fileNames: list[str] = field(default_factory=list)
    nodeNames: list[str] = field(default_factory=list)
    checksums: list[str] = field(default_factory=list)
    thumbnailFileName: str | None = None
    loadFileTypes: list[str] = field(default_factory=list)
    loadFiles: Any = None
    loadFileProperties: dict[str, Any] = field(default_factory=dict)
    customDownloader: Any = None


def _listed(values: Any) -> list[Any]:
    return list(values) if isinstance(values, list | tuple) else [] if values is None else [values]


class SampleDataLogic:
    """Registers data sets."""

    @staticmethod
    def registerCustomSampleDataSource(  # noqa: PLR0917 - its signature in Slicer
        category: str = "Custom",
        sampleName: str | None = None,
        uris: Any = None,
        fileNames: Any = None,
        nodeNames: Any = None,
        customDownloader: Any = None,
        thumbnailFileName: str | None = None,
        loadFileTypes: Any = None,
        loadFiles: Any = None,
        loadFileProperties: dict[str, Any] | None = None,
        checksums: Any = None,
        loadFileType: Any = None,
    ) -> None:
        """Keep a data set; a wrong checksum format or a missing thumbnail raises."""
        source = SampleDataSource(
            sampleName,
            _listed(uris),
            _listed(fileNames),
            _listed(nodeNames),
            _listed(checksums),
            thumbnailFileName,
            _listed(loadFileTypes or loadFileType),
            loadFiles,
            dict(loadFileProperties or {}),
            customDownloader,
        )
        for checksum in filter(None, source.checksums):
            if not checksum.startswith(CHECKSUM_START):
                message = f"A checksum is written as SHA256:digest, got {checksum}"
                raise ValueError(message)
        if thumbnailFileName is not None and not Path(thumbnailFileName).is_file():
            message = f"The thumbnail {thumbnailFileName} does not exist"
            raise FileNotFoundError(message)
        sources = SampleDataLogic.sampleDataSourcesByCategory()
        known = sources.setdefault(category, [])
        if source not in known:
            known.append(source)

    @staticmethod
    def sampleDataSourcesByCategory(category: str | None = None) -> Any:
        """Return the data sets of a category, or all by category."""
        if not hasattr(slicer.modules, "sampleDataSources"):
            slicer.modules.sampleDataSources = {}
        sources = slicer.modules.sampleDataSources
        return sources if category is None else sources.get(category, [])
