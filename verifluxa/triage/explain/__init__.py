"""What a decision on a triggered input hangs on: heuristics beside what is certified. Lazy."""
