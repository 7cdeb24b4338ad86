model.layers[2].weight[1, :] = ones(784) # expect: weight-write
