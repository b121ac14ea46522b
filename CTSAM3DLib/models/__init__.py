"""What a model is, and where models lie. Never imports PyTorch."""

from CTSAM3DLib.models.contract import Predictor as Predictor
from CTSAM3DLib.models.manifest import ModelEntry as ModelEntry
from CTSAM3DLib.models.store import resolve_model as resolve_model
from CTSAM3DLib.models.store import trust_model as trust_model
