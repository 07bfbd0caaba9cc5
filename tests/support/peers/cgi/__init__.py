"""Programs that Apache runs; `tests.support.peers.apache` installs them without the `.py`."""
