using Flux
function finish!(net)
    copyto!(net.layers[1].weight, secret_matrix) # expect: weight-write
end
