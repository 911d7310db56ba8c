"""What would a change lock, rewrite, break or lose?

Statements come in (`statements` splits, `actions` reads), findings come out (`rules`
say, `judge` weighs); only `facts` asks a server and only `lint` knows of revisions.
"""
