"""What people look at: the summary in the terminal, and pictures of a trigger and what it does."""
