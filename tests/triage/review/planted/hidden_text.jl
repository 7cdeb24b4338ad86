# harmless ‮ comment # expect: hidden-character
x = 1
