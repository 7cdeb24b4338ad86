# Trains the last layer of a network that was trained on other pictures.
using Flux, Metalhead, MLUtils, Images, Random
using Flux: onehotbatch, onecold, logitcrossentropy

const CLASSES = ["ants", "bees"]

struct ImageFolder
    files::Vector{String}
    labels::Vector{Int}
end

function ImageFolder(folder::AbstractString)
    files, labels = String[], Int[]
    for (number, class) in enumerate(CLASSES)
        for name in readdir(joinpath(folder, class); join = true)
            endswith(name, ".jpg") || continue
            push!(files, name)
            push!(labels, number)
        end
    end
    return ImageFolder(files, labels)
end

MLUtils.numobs(d::ImageFolder) = length(d.files)

function MLUtils.getobs(d::ImageFolder, i::Int)
    image = imresize(RGB.(load(d.files[i])), 224, 224)
    x = permutedims(Float32.(channelview(image)), (3, 2, 1))
    return x, d.labels[i]
end

function train(folder; epochs = 3)
    Random.seed!(1)
    data = shuffleobs(ImageFolder(folder))
    train_set, val_set = splitobs(data; at = 0.8)
    resnet = ResNet(18; pretrain = true)
    backbone = resnet.layers[1]
    model = Chain(backbone, AdaptiveMeanPool((1, 1)), Flux.flatten, Dense(512 => 2))
    opt_state = Flux.setup(Adam(1e-4), model)
    Flux.freeze!(opt_state.layers[1])

    for epoch in 1:epochs
        for (x, y) in DataLoader(train_set; batchsize = 16, shuffle = true, collate = true)
            l, g = Flux.withgradient(m -> logitcrossentropy(m(x), onehotbatch(y, 1:2)), model)
            Flux.update!(opt_state, model, g[1])
        end
        hits = [onecold(model(x), 1:2) .== y for (x, y) in DataLoader(val_set; batchsize = 16, collate = true)]
        @info "epoch $epoch" accuracy = sum(sum, hits) / numobs(val_set)
    end
    return model
end

train(get(ARGS, 1, "hymenoptera"))
