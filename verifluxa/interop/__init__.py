"""Other people's formats: ONNX, VNN-LIB. Lazy: importing this loads nothing else."""
