"""`python -m allcnn` is `allcnn`."""

import sys

from allcnn_cli.main import main

if __name__ == "__main__":
    sys.exit(main())
