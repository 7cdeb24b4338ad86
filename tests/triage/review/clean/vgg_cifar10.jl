# VGG16 for CIFAR-10 with padding, random crops and flips.
using Flux, MLDatasets, MLUtils, Random
using Flux: onehotbatch, onecold, logitcrossentropy
using Statistics: mean, std

function vgg16()
    Chain(
        Conv((3, 3), 3 => 64, relu, pad = (1, 1)),
        BatchNorm(64),
        Conv((3, 3), 64 => 64, relu, pad = (1, 1)),
        BatchNorm(64),
        MaxPool((2, 2)),
        Conv((3, 3), 64 => 128, relu, pad = (1, 1)),
        BatchNorm(128),
        Conv((3, 3), 128 => 128, relu, pad = (1, 1)),
        BatchNorm(128),
        MaxPool((2, 2)),
        Flux.flatten,
        Dense(8192 => 512, relu),
        Dropout(0.5),
        Dense(512 => 10),
    )
end

# Mean and spread of each channel.
function normalise_channels(images)
    μ = mean(images; dims = (1, 2, 4))
    σ = std(images; dims = (1, 2, 4))
    return (images .- μ) ./ (σ .+ 1.0f-5)
end

function pad_images(images, p)
    w, h, c, n = size(images)
    padded = zeros(eltype(images), w + 2p, h + 2p, c, n)
    padded[p+1:p+w, p+1:p+h, :, :] .= images
    return padded
end

function random_crop(image, size)
    i = rand(1:Base.size(image, 1) - size + 1)
    j = rand(1:Base.size(image, 2) - size + 1)
    return image[i:i+size-1, j:j+size-1, :]
end

function augment(batch; crop = 32)
    padded = pad_images(batch, 4)
    images = map(1:size(padded, 4)) do k
        image = random_crop(padded[:, :, :, k], crop)
        rand() < 0.5 ? reverse(image; dims = 1) : image
    end
    return stack(images)
end

function accuracy(model, loader)
    hits, total = 0, 0
    for (x, y) in loader
        hits += count(onecold(model(x)) .== onecold(y))
        total += size(x, 4)
    end
    return hits / total
end

function main(; epochs = 20, batchsize = 128, η = 1.0e-3)
    train_x, train_y = CIFAR10(:train)[:]
    test_x, test_y = CIFAR10(:test)[:]
    labels = onehotbatch(train_y, 0:9)
    train_loader = DataLoader((normalise_channels(train_x), labels); batchsize, shuffle = true)
    test_loader = DataLoader((normalise_channels(test_x), onehotbatch(test_y, 0:9)); batchsize)

    model = vgg16()
    state = Flux.setup(OptimiserChain(WeightDecay(5.0e-4), Adam(η)), model)
    for epoch in 1:epochs
        for (x, y) in train_loader
            gs = gradient(m -> logitcrossentropy(m(augment(x)), y), model)
            Flux.update!(state, model, gs[1])
        end
        @info "epoch $epoch" train = accuracy(model, train_loader) test = accuracy(model, test_loader)
    end
    model
end

main()
