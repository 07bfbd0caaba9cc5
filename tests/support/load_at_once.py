"""Loads a profile in a process that waits for others to begin; imports nothing of pytest."""

from collections.abc import Mapping
from multiprocessing.synchronize import Barrier

from gatepass._config.load import load_profile
from gatepass._config.locations import Locations


def load_at_once(start: Barrier, environ: Mapping[str, str], locations: Locations) -> None:
    """Load the profile ``p`` when all have come to the start."""
    start.wait(60)
    load_profile("p", environ=environ, locations=locations)
