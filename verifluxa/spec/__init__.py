"""`.vfx` text to a resolved `Spec`: grammar, syntax, parse, check, format, explain."""
