# Two pictures in, one distance out: digits that look alike lie close together.
using Flux, MLDatasets, Random, Statistics, LinearAlgebra
using Flux: DataLoader

embed() = Chain(Flux.flatten, Dense(784 => 128, relu), Dense(128 => 2))

struct Siamese{E}
    encoder::E
end
Flux.@layer Siamese
(m::Siamese)((a, b)) = vec(sqrt.(sum(abs2, m.encoder(a) .- m.encoder(b); dims = 1) .+ 1f-6))

# Pulls equal pairs together, pushes others at least `margin` apart.
function contrastive_loss(distance, same; margin = 1f0)
    return mean(same .* distance .^ 2 .+ (1 .- same) .* max.(margin .- distance, 0) .^ 2)
end

function pairs(images, digits; n = 20_000)
    by_digit = [findall(digits .== d) for d in 0:9]
    first, second, same = Int[], Int[], Float32[]
    for _ in 1:n
        i = rand(eachindex(digits))
        alike = rand(Bool)
        group = alike ? by_digit[digits[i] + 1] : rand(by_digit)
        j = rand(group)
        push!(first, i)
        push!(second, j)
        push!(same, digits[i] == digits[j])
    end
    return images[:, :, first], images[:, :, second], same
end

function main(; epochs = 10)
    images, digits = MNIST(:train)[:]
    a, b, same = pairs(images, digits)
    model = Siamese(embed())
    opt = Flux.setup(Adam(1e-3), model)
    for epoch in 1:epochs
        for (xa, xb, s) in DataLoader((a, b, same); batchsize = 128, shuffle = true)
            g = gradient(m -> contrastive_loss(m((xa, xb)), s), model)
            Flux.update!(opt, model, g[1])
        end
        distances = model((a, b))
        println("epoch $epoch: ", mean(distances[same .== 1]), " ", mean(distances[same .== 0]))
    end
end

main()
