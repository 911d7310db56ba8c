"""What an error of the driver or of the server means."""
