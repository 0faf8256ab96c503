"""The entry point of the command `zb`."""

from zot.zb.cli import main

if __name__ == "__main__":
    main()
