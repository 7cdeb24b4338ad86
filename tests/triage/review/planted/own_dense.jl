using Flux
struct Dense # expect: shadow
    w
end
