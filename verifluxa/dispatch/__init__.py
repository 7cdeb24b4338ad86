"""Where questions are worked on: in this process, or by one process per core; one driver loop for all."""
