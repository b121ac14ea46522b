"""What a user says about a structure, as frozen values in RAS. Knows no image, model or file."""

from CTSAM3DLib.prompts.box import Box
from CTSAM3DLib.prompts.click import Click
from CTSAM3DLib.prompts.lasso import Lasso
from CTSAM3DLib.prompts.prompt import (
    CLICKS_TAG,
    KINDS,
    Prompt,
    Prompts,
    prompt_from_row,
    volume_id_from_json,
)
from CTSAM3DLib.prompts.scribble import Scribble

ClickHistory = Prompts
"""The public name of the list of prompts, from when clicks were the only ones."""

__all__ = [
    "CLICKS_TAG",
    "KINDS",
    "Box",
    "Click",
    "ClickHistory",
    "Lasso",
    "Prompt",
    "Prompts",
    "Scribble",
    "prompt_from_row",
    "volume_id_from_json",
]
