"""Other people's formats: ONNX, VNN-LIB. Lazy."""
