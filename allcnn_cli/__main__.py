"""`python -m allcnn_cli` is `allcnn`."""

import sys

from allcnn_cli.main import main

if __name__ == "__main__":
    sys.exit(main())
