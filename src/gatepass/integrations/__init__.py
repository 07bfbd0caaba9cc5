"""Bridges to other packages, one file each. Nothing of gatepass itself needs them."""
