"""The analysis `overlap`: which rows are memorized by which models of the family."""
