"""Pictures are small here."""

from small_pictures import small_pictures  # noqa: F401 - a fixture that each test uses
