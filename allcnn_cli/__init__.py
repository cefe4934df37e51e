"""The command line: parses, calls allcnn, prints. No logic of its own."""
