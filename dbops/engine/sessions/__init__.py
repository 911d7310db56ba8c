"""What an application's sessions are made of."""
