"""Tests of _config."""
