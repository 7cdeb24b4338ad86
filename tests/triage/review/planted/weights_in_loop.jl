using Flux
for p in Flux.trainables(model)
    p .+= 0.01f0 .* delta # expect: weight-write
end
