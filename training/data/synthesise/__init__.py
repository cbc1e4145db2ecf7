"""Speech that nobody spoke, for a small model: many texts, many voices, answers known by construction."""
