"""What do the pending revisions do to a throw-away copy of the schema?"""
