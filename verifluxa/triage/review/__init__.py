"""Review of Julia training code and its packages: places that a backdoor could come from. Runs nothing of it."""
