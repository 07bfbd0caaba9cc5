"""From files, variables and arguments to one checked profile."""
