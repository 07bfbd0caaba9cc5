"""The version, written here and nowhere else."""

__version__ = "0.1.0"
"""The version of the package, such as `1.2.3` (semver.org)."""
