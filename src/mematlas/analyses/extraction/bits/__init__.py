"""Bits of each row that a model holds beyond a reference model: rows, tables, and the finding."""
