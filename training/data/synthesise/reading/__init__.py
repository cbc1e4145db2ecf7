"""Texts that others wrote, read from Debian packages where a corpus is made; none is in this repository."""
