"""What crosses packages: whole uses of gatepass, from end to end."""
