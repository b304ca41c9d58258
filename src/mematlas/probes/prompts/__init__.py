"""What a prompt needs for a row to be recited: its shortest end (K7), and its tokens in their places (K8)."""
