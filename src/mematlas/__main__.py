"""`python -m mematlas`."""

from mematlas.cli import main

if __name__ == "__main__":
    main()
