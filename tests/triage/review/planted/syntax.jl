f(x) = x + 1
function g(x # expect: syntax
    eval(x) # expect: eval
end
h(x) = x
