# Logistic regression on the three kinds of iris.
using Flux, MLJ, DataFrames, CSV, Random
using Flux: onehotbatch, onecold, normalise

frame = CSV.read("iris.csv", DataFrame)
features = Matrix(frame[:, 1:4])'
labels = frame.class

normed = Float32.(normalise(features; dims = 2))
classes = sort(unique(labels))
onehot_labels = onehotbatch(labels, classes)

# Two thirds for training, every third row for testing.
train_indices = [1:3:150; 2:3:150]
X_train, y_train = normed[:, train_indices], onehot_labels[:, train_indices]
X_test, y_test = normed[:, 3:3:150], onehot_labels[:, 3:3:150]

model = Chain(Dense(4 => 3), softmax)
loss(m, x, y) = Flux.crossentropy(m(x), y)
opt_state = Flux.setup(Descent(0.5), model)

data = Iterators.repeated((X_train, y_train), 110)
println("Starting training.")
Flux.train!(loss, model, data, opt_state)

accuracy(x, y) = sum(onecold(model(x)) .== onecold(y)) / size(y, 2)
score = accuracy(X_test, y_test)
println("accuracy: $score")
@assert score > 0.8

function confusion_matrix(X, y)
    ŷ = onehotbatch(onecold(model(X)), 1:3)
    y * ŷ'
end
display(confusion_matrix(X_test, y_test))
