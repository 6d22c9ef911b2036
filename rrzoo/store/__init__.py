"""A model as files: its folder, card, evaluation, export and verification."""
