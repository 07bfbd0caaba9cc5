"""Tests of the practice server."""
