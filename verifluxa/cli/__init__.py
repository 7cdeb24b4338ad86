"""The command line: parse arguments, call one function, print, exit code. Lazy: importing this loads nothing else."""
