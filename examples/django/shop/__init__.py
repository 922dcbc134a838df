"""A small shop that tells its partners what becomes of their packages."""
