"""Commands that look at a study: tables, findings, the report."""
