"""The analysis `forecast`: how well smaller or earlier models forecast which rows are memorized."""
