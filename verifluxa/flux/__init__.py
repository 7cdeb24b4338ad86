"""Flux model files to graphs: strict readers, the architecture text, the layers. Lazy: loads no torch."""
