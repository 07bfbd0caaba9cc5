"""``python -m gatepass``: the same as the command ``gatepass``."""

from gatepass.cli import main

if __name__ == "__main__":
    main()
