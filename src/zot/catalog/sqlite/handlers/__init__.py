"""The catalog's commands in SQL: one module for each subject."""
