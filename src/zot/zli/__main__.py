"""The entry point of the command `zli`."""

from zot.zli.cli import main

if __name__ == "__main__":
    main()
