"""The ``footloose`` command. It asks a node over its admin socket and prints the answer; it decides nothing itself."""
