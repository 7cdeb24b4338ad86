"""Reports for people: terminal summary, pictures, HTML. Lazy: importing this loads nothing else."""
