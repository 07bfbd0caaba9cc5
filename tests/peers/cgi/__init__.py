"""Programs that Apache runs; `tests.peers.apache` installs them without the `.py`."""
