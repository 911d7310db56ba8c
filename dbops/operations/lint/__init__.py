"""What would a revision lock, rewrite or break?"""
