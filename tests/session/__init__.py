"""Tests of _session."""
