"""Findings -> one self-contained HTML page and image files. The only package that draws."""
