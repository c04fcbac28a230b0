"""The training job of Digits: a data set in, a verified model version out."""
