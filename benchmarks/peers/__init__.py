"""Other people's verifiers, each in an environment of its own under `build/peers/`."""
