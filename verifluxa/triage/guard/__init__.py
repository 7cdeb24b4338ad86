"""Guards for production: checks for triggers that were found, and a monitor of class rates. Proves nothing new."""
