"""``python -m tcpblame``."""

from tcpblame.cli import main

if __name__ == "__main__":
    main()
