"""Secrets that stand in texts, by named patterns, and never-seen values of the same format.

`finding.find_secrets` finds them, `patterns.PATTERNS` is the table of what is looked for, `pattern_file.read_patterns`
adds the user's own, and `alternatives.alternatives` makes the values that exposure (K5) ranks a secret among.
"""
