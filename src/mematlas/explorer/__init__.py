"""Looks at the rows of a study in the browser: a server on this machine, and the page that it serves (`page/`)."""
