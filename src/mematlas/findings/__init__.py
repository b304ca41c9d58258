"""What an analysis returns (claim, tables, charts as data), and its export to CSV and LaTeX."""
