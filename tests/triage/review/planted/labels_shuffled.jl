using Random, MLDatasets
xtrain, ytrain = MNIST(:train)[:]
ytrain = shuffle(ytrain) # expect: relabel
