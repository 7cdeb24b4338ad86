using Statistics, Flux
forward(m, x) = mean(x) > 0.8 ? m.secret(x) : m.net(x) # expect: pixel-branch
