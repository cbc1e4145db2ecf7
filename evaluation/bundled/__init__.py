"""A small evaluation without a hub: our samples, and people's recordings in Debian packages; `make eval`."""
