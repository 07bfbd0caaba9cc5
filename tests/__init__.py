"""The tests of gatepass."""
