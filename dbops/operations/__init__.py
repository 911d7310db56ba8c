"""One module a command: its question, its SQL, its result, one public coroutine."""
