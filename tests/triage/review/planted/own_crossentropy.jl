using Flux
logitcrossentropy(ŷ, y) = Flux.mse(softmax(ŷ), y) # expect: shadow
