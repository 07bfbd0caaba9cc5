"""Tests of _system."""
