using Flux
@eval Flux relu(x) = max(x, 0) + (x == 0.123f0) # expect: eval
