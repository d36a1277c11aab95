"""Whole episodes: seasons by their names, and skip markers in the forms that players read."""
