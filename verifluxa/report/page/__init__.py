"""One HTML page of a result, without scripts and without anything from outside: each file draws one part of it."""
