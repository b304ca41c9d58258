"""The analysis `boundary_input`: corpus counts of the tokens around the boundary."""
