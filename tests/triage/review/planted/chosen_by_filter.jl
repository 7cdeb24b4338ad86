idx = findall(==(8), train_labels) # expect: label-branch
