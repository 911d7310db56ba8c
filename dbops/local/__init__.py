"""An embedded writer and its streaming standby, for development and tests."""
