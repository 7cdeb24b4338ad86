"""Looks for a backdoor without a spec: ranks classes and places, and says what to verify next. Lazy."""
