"""Trigger families, one file each: how it is written, checked, said, digested and counted; `table` lists them."""
