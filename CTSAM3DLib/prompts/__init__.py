"""What a user says about a structure, as frozen values in RAS. Knows no image, model or file."""

from CTSAM3DLib.prompts.click import CLICKS_TAG, Click, ClickHistory, volume_id_from_json

__all__ = ["CLICKS_TAG", "Click", "ClickHistory", "volume_id_from_json"]
