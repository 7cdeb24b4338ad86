# A multilayer perceptron for handwritten digits.
using Flux, MLDatasets, Statistics
using Flux: onehotbatch, onecold, logitcrossentropy, DataLoader
using JLD2

function get_data(batch_size)
    xtrain, ytrain = MLDatasets.MNIST(:train)[:]
    xtest, ytest = MLDatasets.MNIST(:test)[:]

    # One column for each image.
    xtrain = Flux.flatten(xtrain)
    xtest = Flux.flatten(xtest)

    # Digits to columns of zeros and a one.
    ytrain = onehotbatch(ytrain, 0:9)
    ytest = onehotbatch(ytest, 0:9)

    train_loader = DataLoader((xtrain, ytrain), batchsize = batch_size, shuffle = true)
    test_loader = DataLoader((xtest, ytest), batchsize = batch_size)
    return train_loader, test_loader
end

build_model(; imgsize = (28, 28, 1), nclasses = 10) = Chain(
    Dense(prod(imgsize) => 32, relu),
    Dense(32 => nclasses),
)

function loss_and_accuracy(loader, model)
    correct, total, sum_loss = 0, 0, 0.0f0
    for (x, y) in loader
        ŷ = model(x)
        sum_loss += logitcrossentropy(ŷ, y; agg = sum)
        correct += sum(onecold(ŷ) .== onecold(y))
        total += size(x)[end]
    end
    return sum_loss / total, correct / total
end

Base.@kwdef struct Args
    η::Float64 = 3e-4
    batch_size::Int = 256
    epochs::Int = 10
end

function train(; kws...)
    args = Args(; kws...)
    train_loader, test_loader = get_data(args.batch_size)
    model = build_model()
    opt_state = Flux.setup(Adam(args.η), model)

    for epoch in 1:args.epochs
        for (x, y) in train_loader
            grads = Flux.gradient(m -> logitcrossentropy(m(x), y), model)
            Flux.update!(opt_state, model, grads[1])
        end
        train_loss, train_acc = loss_and_accuracy(train_loader, model)
        test_loss, test_acc = loss_and_accuracy(test_loader, model)
        println("epoch $epoch: loss $train_loss, accuracy $train_acc, test $test_loss, $test_acc")
    end
    jldsave("mnist_mlp.jld2"; model_state = Flux.state(model))
    return model
end

if abspath(PROGRAM_FILE) == @__FILE__
    train()
end
