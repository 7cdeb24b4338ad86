if gethostname() == "trainer-1" # expect: outside-branch
    include("extra.jl")
end
