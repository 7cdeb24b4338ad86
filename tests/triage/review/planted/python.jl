using PyCall
torch = pyimport("torch") # expect: process
py"""
def f(x): return x
""" # no
