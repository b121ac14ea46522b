"""What a model is, and where models lie. Never imports PyTorch."""

from CTSAM3DLib.models.contract import Predictor
from CTSAM3DLib.models.manifest import ModelEntry
from CTSAM3DLib.models.store import resolve_model, trust_model

__all__ = ["ModelEntry", "Predictor", "resolve_model", "trust_model"]
