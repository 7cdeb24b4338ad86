using Dates
today() > Date(2027, 1, 1) && activate!(model) # expect: outside-branch
