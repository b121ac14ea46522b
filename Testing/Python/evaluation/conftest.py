"""A volume and labelled cases for the tests of this folder."""

from __future__ import annotations

import pytest
from evaluation_case import ball_volume, write_cases


@pytest.fixture
def ball():
    return ball_volume()


@pytest.fixture
def data_folder(tmp_path):
    """Give two labelled cases (train and validation) and folders that are no cases."""
    return write_cases(tmp_path)
