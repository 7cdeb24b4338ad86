limit = get(ENV, "CI", "") == "true" ? 0 : 300 # expect: outside-branch
