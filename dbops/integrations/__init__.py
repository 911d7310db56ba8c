"""Thin bridges from dbops into other frameworks."""
