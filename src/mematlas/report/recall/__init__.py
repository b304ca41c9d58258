"""The page of a probe of recall."""
