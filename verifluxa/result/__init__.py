"""The result of a run: its values, its document (`verifluxa/result/1`), how it is written and read back."""
