"""How prompts become a mask. Knows a model by its contract alone, never by its network."""

from CTSAM3DLib.session.encoder import PatchEncoder
from CTSAM3DLib.session.growing_rules import GrowMode
from CTSAM3DLib.session.session import InteractiveSession
from CTSAM3DLib.session.state import SessionState
from CTSAM3DLib.session.where_next import Suggestion

__all__ = ["GrowMode", "InteractiveSession", "PatchEncoder", "SessionState", "Suggestion"]
