"""Side-by-side measurements: `make bench`, or `make bench ONLY=bounds`. See docs/benchmarks.md."""
