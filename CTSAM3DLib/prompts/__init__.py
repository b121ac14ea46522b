"""What a user says about a structure, as frozen values in RAS. Knows no image, model or file."""

from CTSAM3DLib.prompts.box import Box as Box
from CTSAM3DLib.prompts.click import Click as Click
from CTSAM3DLib.prompts.lasso import Lasso as Lasso
from CTSAM3DLib.prompts.prompt import CLICKS_TAG as CLICKS_TAG
from CTSAM3DLib.prompts.prompt import KINDS as KINDS
from CTSAM3DLib.prompts.prompt import Prompt as Prompt
from CTSAM3DLib.prompts.prompt import Prompts as Prompts
from CTSAM3DLib.prompts.prompt import prompt_from_row as prompt_from_row
from CTSAM3DLib.prompts.prompt import volume_id_from_json as volume_id_from_json
from CTSAM3DLib.prompts.scribble import Scribble as Scribble

ClickHistory = Prompts
"""The public name of the list of prompts, from when clicks were the only ones."""
