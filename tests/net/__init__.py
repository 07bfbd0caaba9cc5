"""Tests of _net."""
