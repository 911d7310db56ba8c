"""Has the reader replayed what the writer wrote?"""
