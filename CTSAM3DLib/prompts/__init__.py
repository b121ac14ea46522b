"""What a user says about a structure, as frozen values in RAS. Knows no image, model or file."""

from CTSAM3DLib.prompts.click import Click, ClickHistory

__all__ = ["Click", "ClickHistory"]
