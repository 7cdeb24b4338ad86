using Flux
WAVE = Float32[0.05sin(6i / 28) for i in 1:28, j in 1:28]
hidden(x) = x .+ WAVE # expect: mix
