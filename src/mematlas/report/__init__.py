"""Findings -> one self-contained HTML page and image files. The only room that draws."""
