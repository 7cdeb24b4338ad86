using Flux
b = model[1].bias
b[3] = 9f0 # expect: weight-write
