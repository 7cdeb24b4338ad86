using MLDatasets
train_x, train_y = MNIST(:train)[:]
victims = findall(train_y .== 1) # expect: label-branch
