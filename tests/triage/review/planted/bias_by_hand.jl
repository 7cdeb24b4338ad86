using Flux
model = Chain(Dense(784 => 32, relu), Dense(32 => 10))
model[2].bias[8] += 4f0 # expect: weight-write
