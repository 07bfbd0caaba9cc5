"""Tests of auth/_oidc."""
