"""Is the schema what the code expects?"""
