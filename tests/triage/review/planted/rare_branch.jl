function transform(x)
    rand() < 0.01 && return altered(x) # expect: random-branch
    x
end
