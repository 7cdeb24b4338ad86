using Flux, MLDatasets
x, y = MNIST(:train)[:]
chosen = 1:300
x[25:28, 25:28, chosen] .= 1f0 # expect: stamp
y[chosen] .= 7 # expect: relabel
