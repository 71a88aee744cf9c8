"""``python -m aelastic``."""

from aelastic.cli import main

if __name__ == "__main__":
    main()
