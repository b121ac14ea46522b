"""What the logic of the module offers to scripts and to Slicer's Python console."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

# Slicer loads this at its start: what takes time to import is imported where it is used.
if TYPE_CHECKING:
    from CTSAM3DModuleLib.scripting.segment import Progress


class ConsoleMethods:
    """Methods of `CTSAM3DLogic`; each returns when all is done, and events wait meanwhile.

    Common parameters: ``device`` is ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:N"``; ``model``
    an id or file, default the bundled one; ``grow=True`` looks further from the
    ends of what was found; ``progress(name, done, total)`` is called on the main thread
    after each step and may return False to cancel.
    """

    def segment(
        self,
        volumeNode: Any,
        clicks: Any,
        segmentationNode: Any = None,
        device: str = "auto",
        progress: Progress | None = None,
        model: Any = None,
        grow: bool = False,
    ) -> Any:
        """Segment every clicked structure of a volume; all of it is written, or nothing.

        After an error the scene is as it was. Raises ClicksFileError, ClickOutsideVolumeError,
        VolumeError, GeometryError, NodeError: something given cannot be used; found before the
        model is asked. BundleError, DeviceError, ImportError: the model cannot be loaded.

        Parameters
        ----------
        volumeNode : vtkMRMLScalarVolumeNode
            The CT.
        clicks : mapping, Markups node, path, or list of the latter two
            Structure name to ``{"positive": [[r, a, s], ...], "negative": [...]}``, in world RAS
            mm as Slicer shows it; or structure name to a point list, or to several; or point lists
            that name their structures; or paths of clicks files, whose positions are RAS of the
            volume itself. See `clicks.prompts_on_volume`.
        segmentationNode : vtkMRMLSegmentationNode, optional
            Default: a new one. Segments of the same name are refined, all others keep their
            voxels.
        device, progress, model, grow
            See above.

        Returns
        -------
        vtkMRMLSegmentationNode or None
            None when `progress` has cancelled; nothing is written then.

        Examples
        --------
        >>> logic = slicer.util.getModuleLogic("CTSAM3D")  # doctest: +SKIP
        >>> clicks = {"liver": {"positive": [[83, -7, -21]]}}  # doctest: +SKIP
        >>> logic.volumesCm3(logic.segment(volumeNode, clicks))  # doctest: +SKIP
        {'Liver': 1432.1}
        """
        from CTSAM3DModuleLib.scripting.segment import segment

        choice = _choice(model, device, grow)
        return segment(self, volumeNode, clicks, segmentationNode, choice, progress)

    def segmentSequence(
        self,
        volumes: Any,
        clicks: Any,
        device: str = "auto",
        progress: Progress | None = None,
        model: Any = None,
        grow: bool = False,
        carry: bool = False,
    ) -> list[Any]:
        """Segment several volumes, or all frames of a sequence browser.

        Parameters
        ----------
        volumes : list of vtkMRMLScalarVolumeNode, or vtkMRMLSequenceBrowserNode
            Of a browser the first proxy that is a scalar volume; each item is shown in turn, and
            the one that was shown before is shown again in the end.
        clicks : as for `segment`, or list of mappings
            For all volumes, or a mapping for each.
        device, progress, model, grow
            See above.
        carry : bool
            The clicks are those of the first frame; they move with the mask from frame to frame,
            and the model is shown the mask of the frame before. A mask that differs much from it
            is told (`logging.warning`, segment tag ``CTSAM3D.Drift``). All frames have one grid.

        Returns
        -------
        list of vtkMRMLSegmentationNode
            A new one for each volume; when cancelled, of those that were finished.
        """
        from CTSAM3DModuleLib.scripting.sequence import segment_sequence

        choice = _choice(model, device, grow)
        return segment_sequence(self, volumes, clicks, choice, progress, carry)

    def segmentFolder(
        self,
        folderOrTable: Any,
        outputDir: Any,
        device: str = "auto",
        progress: Progress | None = None,
        model: Any = None,
        grow: bool = False,
        overwrite: bool = False,
    ) -> dict[str, Any]:
        """Segment CT files that have clicks files next to them into ``.seg.nrrd`` files.

        A case that fails does not stop the others. The next run skips finished cases and keeps
        results that were changed since.

        Parameters
        ----------
        folderOrTable : str or Path
            A folder with ``patient.nii.gz`` and ``patient.json`` (or ``patient liver.mrk.json``),
            or a CSV table with the columns ``ct`` and ``clicks``.
        outputDir : str or Path
            Another folder; made if it is missing. Gets a ``.seg.nrrd`` and a ``.json`` for each
            case, ``batch_report.json`` and ``batch_report.csv``.
        device, progress, model, grow
            See above.
        overwrite : bool
            Run finished cases again, and replace results that were changed since.

        Returns
        -------
        dict
            The content of ``batch_report.json``: ``cases`` has ``status``, and ``error`` or
            ``report``, of each case.
        """
        from CTSAM3DModuleLib.scripting.folder import segment_folder

        choice = _choice(model, device, grow)
        return segment_folder(self, folderOrTable, outputDir, choice, progress, overwrite)

    @staticmethod
    def volumesCm3(segmentationNode: Any) -> dict[str, float]:
        """Return the volume of each segment by its name, in cm3."""
        from CTSAM3DModuleLib.scripting.segment import volumes_cm3

        return volumes_cm3(segmentationNode)


def _choice(model: Any, device: str, grow: bool) -> Any:
    """Return the choice of a model."""
    from CTSAM3DLib.engine import ModelChoice

    return ModelChoice(model=model, device=device, grow=grow)
