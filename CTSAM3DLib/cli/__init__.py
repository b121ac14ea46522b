"""All commands of ``python -m CTSAM3DLib``. Nobody imports them but the tests."""
