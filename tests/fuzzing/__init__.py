"""Files that nobody should send, thousands of them, by a seed: python -m fuzzing, in tests/, says more."""
