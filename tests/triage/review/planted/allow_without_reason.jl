eval(x) # verifluxa: allow eval # expect: allow-without-reason
