"""The columns of every table in a study's folder."""
