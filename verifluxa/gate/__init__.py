"""The release gate: decides one promotion, fail-closed. Lazy."""
