"""Named errors: every message says what was expected and what came."""

from __future__ import annotations


class CTSAM3DError(Exception):
    """Base of every error that the library raises on purpose."""


class GeometryError(CTSAM3DError, ValueError):
    """A matrix, shape, spacing or box does not describe a voxel grid."""


class VolumeError(CTSAM3DError, ValueError):
    """An image cannot be read or is not a finite, scalar, non-empty 3D volume."""


class VolumeWarning(UserWarning):
    """An image was read, and its user must know how."""


class ClickOutsideVolumeError(CTSAM3DError, ValueError):
    """A click lies outside the voxels of the volume."""


class ClicksFileError(CTSAM3DError, ValueError):
    """A clicks file, Markups file or batch table cannot be understood."""


class SegmentationFileError(CTSAM3DError, ValueError):
    """A segmentation cannot be written or read."""


class OutputFileError(CTSAM3DError, OSError):
    """A file cannot be written where the user wants it."""


class BundleError(CTSAM3DError):
    """A model bundle or its manifest is missing, truncated, altered or of the wrong kind."""


class UntrustedModelError(BundleError):
    """A model file holds code, and neither this installation nor the user vouches for it."""


class ModelExistsError(BundleError):
    """A model of that id or a file of that name is there already and may be replaced."""


class CheckpointError(CTSAM3DError):
    """A checkpoint does not hold the expected keys and shapes."""


class DeviceError(CTSAM3DError):
    """The requested compute device is unknown or not available."""


class ModelAnswerError(CTSAM3DError):
    """A model gave numbers that are no mask: not finite, or of another size than its patch."""


class InferenceThreadError(CTSAM3DError):
    """The thread that runs the model ended, or could not start, before it had answered."""


class NotEnoughMemoryError(CTSAM3DError, MemoryError):
    """The main memory of the computer does not suffice."""


class ClusterError(CTSAM3DError):
    """A cluster of processes cannot be reached, or has been lost."""


class NodeError(CTSAM3DError, ValueError):
    """A Slicer node is of the wrong kind, in the wrong state or cannot be brought into place."""


class LearningError(CTSAM3DError, ValueError):
    """There is nothing to learn from, or a run that was begun cannot go on."""
