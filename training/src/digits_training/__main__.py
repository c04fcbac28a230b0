"""`python -m digits_training` is `digits-train`."""

from digits_training.cli import main

if __name__ == "__main__":
    main()
