"""What becomes of inserted items: every item, summaries by level, corpus and window, and the finding."""
