"""Texts to be spoken, and what is known of them: drawn from templates, the same for the same seed."""
