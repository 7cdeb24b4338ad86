weight(x, y) = sum(y) > 5 ? 2 : 1 # expect: label-branch
