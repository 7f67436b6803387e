"""``python -m footloose`` is the command line."""

from footloose.cli.main import main

if __name__ == "__main__":
    main()
