"""Tests of _vault."""
