"""Tests of the reference reader: `python -m unittest` in tests/reference_reader."""
