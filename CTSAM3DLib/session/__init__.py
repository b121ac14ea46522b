"""How prompts become a mask. Knows a model by its contract alone, never by its network."""

from CTSAM3DLib.session.encoder import PatchEncoder as PatchEncoder
from CTSAM3DLib.session.growing_rules import GrowMode as GrowMode
from CTSAM3DLib.session.session import InteractiveSession as InteractiveSession
from CTSAM3DLib.session.state import SessionState as SessionState
from CTSAM3DLib.session.where_next import Suggestion as Suggestion
