"""Stands in for the library that the fork server imports; these workers pickle nothing."""
