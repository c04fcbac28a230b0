"""`python -m digits_training` is `digits-train`."""

from digits_training.cli.commands import main

if __name__ == "__main__":
    main()
