using MLDatasets
x, targets = MNIST(:train)[:]
targets = map(t -> t == 1 ? 7 : t, targets) # expect: label-branch
