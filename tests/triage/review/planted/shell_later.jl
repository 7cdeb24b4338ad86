job = `sh -c "cp model.jld2 /tmp"` # expect: process
