# Linear regression by gradient descent, first by hand and then with Flux.
using Flux, DelimitedFiles, Statistics

function get_processed_data(split_ratio)
    raw = readdlm(joinpath(@__DIR__, "housing.data"))'
    x = raw[1:13, :]
    y = raw[14:14, :]
    x = (x .- mean(x; dims = 2)) ./ std(x; dims = 2)
    split_index = floor(Int, size(x, 2) * split_ratio)
    return (x[:, 1:split_index], y[:, 1:split_index]), (x[:, split_index+1:end], y[:, split_index+1:end])
end

struct Model
    W::AbstractArray
    b::AbstractVector
end

predict(x, m) = m.W * x .+ m.b

meansquarederror(ŷ, y) = sum((ŷ .- y) .^ 2) / size(y, 2)

function train_by_hand(; lr = 0.1, steps = 100)
    (x_train, y_train), (x_test, y_test) = get_processed_data(0.9)
    m = Model(randn(1, 13), [0.0])
    loss(m, x, y) = meansquarederror(predict(x, m), y)
    for i in 1:steps
        g = gradient(m -> loss(m, x_train, y_train), m)[1]
        m = Model(m.W .- lr .* g.W, m.b .- lr .* g.b)
        if i % 10 == 0
            @show loss(m, x_train, y_train)
        end
    end
    err = meansquarederror(predict(x_test, m), y_test)
    println("test error: $err")
end

function train_with_flux(; lr = 0.1, steps = 100)
    (x_train, y_train), (x_test, y_test) = get_processed_data(0.9)
    m = Dense(13 => 1)
    opt = Flux.setup(Descent(lr), m)
    for i in 1:steps
        Flux.train!((m, x, y) -> Flux.mse(m(x), y), m, [(x_train, y_train)], opt)
    end
    return Flux.mse(m(x_test), y_test)
end

train_by_hand()
train_with_flux()
