"""What was done to the schema, kept in the database itself."""
