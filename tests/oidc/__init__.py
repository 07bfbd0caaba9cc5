"""Tests of the OIDC scheme and its parts."""
