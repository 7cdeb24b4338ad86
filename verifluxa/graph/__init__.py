"""The network as data: operations, the graph, how it runs. Lazy: importing this loads no torch."""
