"""Packages of others: how tests install them, and one that means no good."""
